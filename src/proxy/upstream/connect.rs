//! Connects to the server over verified TLS.

use std::{fmt::Display, io, net::SocketAddr};

use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};

use super::super::{
    Server,
    channel::Channel,
    failure::{Failure, UNREACHABLE},
    metrics::Reason,
    tls,
};
use crate::platform::{limits::CONNECT_TIMEOUT, stream::Stream};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Return the failure of a server that cannot be reached or verified.
pub fn unreachable(server: &Server, reason: impl Display) -> Failure {
    Failure::fatal(Reason::Server, UNREACHABLE, format!("could not connect to {}: {reason}", server.address()))
}

/// Connects to the server, or to one of its addresses.
///
/// # Errors
/// It cannot be reached in time, or its certificate is not trusted.
pub async fn connect(
    server: &Server,
    address: Option<SocketAddr>,
    deadline: Instant,
) -> Result<(Channel, SocketAddr), Failure> {
    let failed = |error: io::Error| unreachable(server, error);
    let connecting = async {
        let (stream, address) = match address {
            Some(address) => (TcpStream::connect(address).await.map_err(failed)?, address),
            None => connect_by_name(server).await?,
        };
        let stream = Stream::new(stream.into_std().map_err(failed)?.into()).map_err(failed)?;
        let mut channel = Channel::new(stream);
        channel.send(&SSL_REQUEST).await.map_err(failed)?;
        match channel.receive_byte().await.map_err(failed)? {
            b'S' => {}
            b'N' => {
                return Err(unreachable(server, "the server does not support TLS, and a token is not sent without it"));
            }
            // The text is not passed on, because anybody in between could have written it (CVE-2024-10977 in PostgreSQL).
            b'E' => return Err(unreachable(server, "the server answered the request for TLS with an error")),
            _ => return Err(unreachable(server, "what answers there is not PostgreSQL")),
        }
        let session = tls::with_server(&server.tls(), &server.tls_name).map_err(|error| unreachable(server, error))?;
        let mut plain = Vec::new();
        let verified = channel.encrypt(session, &mut plain).await;
        verified.map_err(|error| unreachable(server, format!("TLS failed: {error}")))?;
        if !plain.is_empty() {
            return Err(unreachable(server, "the server sent data before the login"));
        }
        Ok((channel, address))
    };
    timeout_at(deadline, connecting).await.unwrap_or_else(|_| Err(unreachable(server, "no answer in time")))
}

/// Connects to the first of the server's addresses that accepts the connection.
async fn connect_by_name(server: &Server) -> Result<(TcpStream, SocketAddr), Failure> {
    let addresses = lookup_host((&*server.host, server.port)).await;
    let mut failure = unreachable(server, "its name has no address");
    for address in addresses.map_err(|error| unreachable(server, error))? {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => failure = unreachable(server, error),
        }
    }
    Err(failure)
}
