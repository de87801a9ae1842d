//! The proxy's sockets in a tokio runtime. They are TCP: neither tokio nor most clients have Unix sockets on Windows.

use std::{
    io::{self, ErrorKind},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
};

use socket2::{SockRef, Socket};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use crate::platform::limits::TCP_KEEPALIVE;

/// A connected socket.
#[derive(Debug)]
pub struct Stream(TcpStream);

impl Stream {
    /// Takes over a connected socket. Must be called in the runtime that is to drive it.
    ///
    /// # Errors
    /// The connection is broken already, or the operating system has no resources left.
    pub fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_tcp_keepalive(&TCP_KEEPALIVE)?;
        socket.set_tcp_nodelay(true)?;
        TcpStream::from_std(socket.into()).map(Self)
    }

    /// Reads what has arrived; 0 bytes mean that the peer has ended.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes as much as there is room for.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll_write(cx, bytes)) {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            written => written,
        })
    }

    /// Has nothing to do: tokio reports room to write only after there was none.
    ///
    /// # Errors
    /// None.
    pub fn unwatch_room(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    /// Has nothing to do: Windows reports every byte.
    pub fn set_low_water(&self, _: i32) {}

    /// Tells the peer that nothing more will be sent.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn shutdown(&self) -> io::Result<()> {
        SockRef::from(&self.0).shutdown(Shutdown::Write)
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Acceptor(TcpListener);

impl Acceptor {
    /// Takes over a listening socket that does not block. Must be called in the runtime that is to drive it.
    ///
    /// # Errors
    /// The operating system has no resources left.
    pub fn new(socket: Socket) -> io::Result<Self> {
        TcpListener::from_std(socket.into()).map(Self)
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// The operating system has no resources left, or the peer has gone away.
    pub async fn accept(&self) -> io::Result<Socket> {
        let (stream, _) = self.0.accept().await?;
        stream.into_std().map(Socket::from)
    }
}

/// Return the address that a socket listens on, for the log.
#[must_use]
pub fn address(listener: &Socket) -> String {
    let address = listener.local_addr().ok().and_then(|address| address.as_socket());
    address.map(|address| address.to_string()).unwrap_or_default()
}
