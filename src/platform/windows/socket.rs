//! Sockets that Python and Rust pass to each other, by their number.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::windows::io::{AsRawSocket, FromRawSocket, IntoRawSocket, RawSocket},
};

use socket2::Socket;

/// One end of a [`pair`].
pub type PairedSocket = TcpStream;

/// Makes two sockets that are connected with each other and never block.
///
/// Python's event loops and `select` watch nothing but Internet sockets here, so these are two ends of a loopback connection.
///
/// # Errors
/// No sockets or ports are left.
pub fn pair() -> io::Result<(PairedSocket, PairedSocket)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let address = one.local_addr()?;
    let other = loop {
        let (other, peer) = listener.accept()?;
        // Another process may have connected first.
        if peer == address {
            break other;
        }
    };
    for end in [&one, &other] {
        end.set_nonblocking(true)?;
        end.set_nodelay(true)?;
    }
    Ok((one, other))
}

/// The number by which Python knows the socket.
#[must_use]
pub fn number(socket: &PairedSocket) -> i64 {
    socket.as_raw_socket().cast_signed()
}

/// Gives up the socket: the receiver of its number closes it.
#[must_use]
pub fn release(socket: PairedSocket) -> i64 {
    socket.into_raw_socket().cast_signed()
}

/// Takes over a listening socket that its owner has detached, and makes it non-blocking.
///
/// # Errors
/// It is not a socket.
#[allow(unsafe_code)]
pub fn take_listener(number: i64) -> io::Result<Socket> {
    let number = RawSocket::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the caller has detached it from its socket object, so nobody else closes it.
    let socket = unsafe { Socket::from_raw_socket(number) };
    socket.set_nonblocking(true)?;
    Ok(socket)
}
