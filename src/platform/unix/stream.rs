//! The proxy's sockets, TCP and Unix, in a tokio runtime.

use std::{
    io::{self, ErrorKind, Read},
    net::Shutdown,
    os::fd::AsRawFd,
    task::{Context, Poll, ready},
};

use socket2::Socket;
use tokio::io::{Interest, unix::AsyncFd};

use crate::platform::limits::TCP_KEEPALIVE;

/// A connected socket.
///
/// tokio's own types watch for room to write all the time. The kernel reports that on a Unix socket whenever the peer has read
/// something, which would wake the proxy once more for every answer. This type watches for it only after a write has found
/// none.
#[derive(Debug)]
pub struct Stream {
    /// `None` after it could not be registered again.
    fd: Option<AsyncFd<Socket>>,
    watches_room: bool,
}

impl Stream {
    /// Takes over a connected socket. Must be called in the runtime that is to drive it.
    ///
    /// # Errors
    /// The connection is broken already, or the operating system has no resources left.
    pub fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        if !socket.local_addr()?.is_unix() {
            socket.set_tcp_keepalive(&TCP_KEEPALIVE)?;
            socket.set_tcp_nodelay(true)?;
        }
        Ok(Self { fd: Some(register(socket, Interest::READABLE)?), watches_room: false })
    }

    fn fd(&self) -> io::Result<&AsyncFd<Socket>> {
        self.fd.as_ref().ok_or_else(|| ErrorKind::NotConnected.into())
    }

    fn watch(&mut self, interest: Interest) -> io::Result<()> {
        if let Some(fd) = self.fd.take() {
            self.fd = Some(register(fd.into_inner(), interest)?);
        }
        Ok(())
    }

    /// Reads what has arrived; 0 bytes mean that the peer has ended.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let fd = self.fd()?;
        loop {
            let mut guard = ready!(fd.poll_read_ready(cx))?;
            let Ok(read) = guard.try_io(|fd| fd.get_ref().read(buffer)) else { continue };
            if let Ok(count) = read
                && (1..buffer.len()).contains(&count)
            {
                // The socket is empty: with edge-triggered epoll, another read would only return EAGAIN.
                guard.clear_ready();
            }
            return Poll::Ready(read);
        }
    }

    /// Writes as much as there is room for.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // A closed peer is an error, not a SIGPIPE.
        let send = |socket: &Socket| match socket.send_with_flags(bytes, libc::MSG_NOSIGNAL) {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            written => written,
        };
        if !self.watches_room {
            match send(self.fd()?.get_ref()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
            self.watch(Interest::READABLE | Interest::WRITABLE)?;
            self.watches_room = true;
        }
        let fd = self.fd()?;
        loop {
            let mut guard = ready!(fd.poll_write_ready(cx))?;
            if let Ok(written) = guard.try_io(|fd| send(fd.get_ref())) {
                return Poll::Ready(written);
            }
        }
    }

    /// Stops watching for room to write. If it returns true, the socket was registered again and has to be polled again.
    ///
    /// # Errors
    /// The operating system has no resources left.
    pub fn unwatch_room(&mut self) -> io::Result<bool> {
        if !self.watches_room {
            return Ok(false);
        }
        self.watches_room = false;
        self.watch(Interest::READABLE)?;
        Ok(true)
    }

    /// Asks the kernel not to report fewer bytes than this as readable, except for the last ones before the peer's end.
    ///
    /// For Linux alone, which also reports bytes that had arrived before the mark was lowered (`tcp_set_rcvlowat`, 4.18).
    #[allow(unsafe_code)]
    pub fn set_low_water(&self, bytes: libc::c_int) {
        if !cfg!(target_os = "linux") {
            return;
        }
        let Ok(fd) = self.fd() else { return };
        let length = libc::socklen_t::try_from(size_of_val(&bytes)).unwrap_or_default();
        let value = (&raw const bytes).cast();
        // SAFETY: the descriptor is open, and the value is as long as it is said to be. If it fails, every byte is reported.
        unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, value, length) };
    }

    /// Tells the peer that nothing more will be sent.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn shutdown(&self) -> io::Result<()> {
        self.fd()?.get_ref().shutdown(Shutdown::Write)
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Acceptor(AsyncFd<Socket>);

impl Acceptor {
    /// Takes over a listening socket that does not block. Must be called in the runtime that is to drive it.
    ///
    /// # Errors
    /// The operating system has no resources left.
    pub fn new(socket: Socket) -> io::Result<Self> {
        register(socket, Interest::READABLE).map(Self)
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// The operating system has no resources left, or the peer has gone away.
    pub async fn accept(&self) -> io::Result<Socket> {
        let accept = |listener: &Socket| listener.accept();
        self.0.async_io(Interest::READABLE, accept).await.map(|(socket, _)| socket)
    }
}

/// Return the address or the path that a socket listens on, for the log.
#[must_use]
pub fn address(listener: &Socket) -> String {
    let Ok(address) = listener.local_addr() else { return String::new() };
    match (address.as_socket(), address.as_pathname()) {
        (Some(address), _) => address.to_string(),
        (None, path) => path.map(|path| path.display().to_string()).unwrap_or_default(),
    }
}

/// Has tokio watch a socket.
#[allow(unsafe_code)]
fn register(socket: Socket, interest: Interest) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor and has the same one for life.
    Ok(unsafe { AsyncFd::register_with_interest(socket, interest) }?)
}
