//! Sockets that Python and Rust pass to each other, by their number.

use std::{
    io,
    os::{
        fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd},
        unix::net::UnixStream,
    },
};

use socket2::Socket;

/// One end of a [`pair`].
pub type PairedSocket = UnixStream;

/// Makes two sockets that are connected with each other and never block.
///
/// # Errors
/// No descriptors are left.
pub fn pair() -> io::Result<(PairedSocket, PairedSocket)> {
    let (one, other) = UnixStream::pair()?;
    one.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    Ok((one, other))
}

/// The number by which Python knows the socket.
#[must_use]
pub fn number(socket: &PairedSocket) -> i64 {
    socket.as_raw_fd().into()
}

/// Gives up the socket: the receiver of its number closes it.
#[must_use]
pub fn release(socket: PairedSocket) -> i64 {
    socket.into_raw_fd().into()
}

/// Takes over a listening socket that its owner has detached, and makes it non-blocking.
///
/// # Errors
/// It is not a socket.
#[allow(unsafe_code)]
pub fn take_listener(number: i64) -> io::Result<Socket> {
    let number = RawFd::try_from(number).ok().filter(|number| *number >= 0).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: the caller has detached it from its socket object, so nobody else closes it.
    let socket = unsafe { Socket::from_raw_fd(number) };
    socket.set_nonblocking(true)?;
    Ok(socket)
}
