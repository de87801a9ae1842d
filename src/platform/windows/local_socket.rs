//! Sockets for processes of this machine: there are none. tokio has no Unix sockets on Windows, nor have most clients there,
//! so these types have no values.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A listening socket.
#[derive(Debug)]
pub struct Listener(Infallible);

/// A connection.
#[derive(Debug)]
pub struct Stream(Infallible);

/// A listening socket of the runtime's.
#[derive(Debug)]
pub struct AsyncListener(Infallible);

/// A connection of the runtime's.
#[derive(Debug)]
pub struct AsyncStream(Infallible);

/// Where it listens, for people.
#[must_use]
pub fn place(listener: &Listener) -> String {
    match listener.0 {}
}

impl AsyncListener {
    /// As tokio's.
    pub fn from_std(listener: Listener) -> io::Result<Self> {
        match listener.0 {}
    }

    /// As tokio's.
    #[allow(clippy::unused_async, reason = "as tokio's")]
    pub async fn accept(&self) -> io::Result<(AsyncStream, Infallible)> {
        match self.0 {}
    }
}

impl AsyncStream {
    /// As tokio's.
    pub fn from_std(stream: Stream) -> io::Result<Self> {
        match stream.0 {}
    }

    /// As tokio's.
    pub fn into_std(self) -> io::Result<Stream> {
        match self.0 {}
    }
}

impl AsyncRead for AsyncStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl AsyncWrite for AsyncStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}
