//! Where clients connect.

use std::{io, net::TcpListener};

use socket2::Socket;

use super::config::Access;
use crate::platform::{
    socket,
    stream::{self, Acceptor},
};

/// A listening socket, TCP or Unix.
#[derive(Debug)]
pub struct Listener(Socket);

impl Listener {
    /// Takes over a listening socket that Python has detached.
    ///
    /// # Errors
    /// It is not a socket.
    pub fn new(number: i64) -> io::Result<Self> {
        socket::take_listener(number).map(Self)
    }

    /// Return the address or the path.
    #[must_use]
    pub fn address(&self) -> String {
        stream::address(&self.0)
    }

    /// Return whether other machines can reach it. Then clients have to prove who they are, over TLS.
    ///
    /// # Errors
    /// That is not allowed, or clients could not prove it.
    pub fn is_remote(&self, access: &Access, allow_remote: bool) -> Result<bool, String> {
        let address = self.0.local_addr().map_err(|error| error.to_string())?;
        if address.is_unix() {
            return Ok(false);
        }
        let address = address.as_socket().ok_or("a listener is neither a TCP nor a Unix socket")?;
        if address.ip().to_canonical().is_loopback() {
            return Ok(false);
        }
        if !allow_remote {
            return Err(format!(
                "{address} can be reached from other machines; listen on 127.0.0.1, or give --allow-remote"
            ));
        }
        if access.passwords.is_none() || access.tls.is_none() {
            return Err(format!(
                "{address} can be reached from other machines, which needs a --password-file, a --tls-cert and a --tls-key"
            ));
        }
        Ok(true)
    }

    /// Begins to accept clients in this runtime.
    ///
    /// # Errors
    /// The operating system has no resources left.
    pub fn register(self) -> io::Result<Acceptor> {
        Acceptor::new(self.0)
    }

    /// Return the socket for the HTTP endpoint.
    #[must_use]
    pub fn into_tcp(self) -> TcpListener {
        self.0.into()
    }
}
