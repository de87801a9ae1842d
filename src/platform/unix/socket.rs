//! Sockets that Python and Rust pass to each other, by their number.

use std::{
    io,
    net::TcpListener,
    os::{
        fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::net::{UnixListener, UnixStream},
    },
};

use futures_util::future::Either;

/// One end of a [`pair`].
pub type PairedSocket = UnixStream;

/// A listening socket of either kind.
pub type AnyListener = Either<TcpListener, UnixListener>;

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

/// Lets go of the socket: whoever gets the number closes it.
#[must_use]
pub fn release(socket: PairedSocket) -> i64 {
    socket.into_raw_fd().into()
}

/// Takes a listening socket over whose owner has let go of it; from then on it does not block.
///
/// # Errors
/// It is no socket.
#[allow(unsafe_code)]
pub fn take_listener(number: i64) -> io::Result<AnyListener> {
    let number = RawFd::try_from(number).ok().filter(|number| *number >= 0).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: the caller has detached it from its socket object, or got it from the service manager: nobody else closes it.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    if socket2::SockRef::from(&socket).local_addr()?.is_unix() {
        let listener = UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        return Ok(Either::Right(listener));
    }
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(Either::Left(listener))
}
