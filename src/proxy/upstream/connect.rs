//! Connects to the server over verified TLS.

use std::{
    fmt::Display,
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

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
            None => match connect_as_before(server).await {
                Some(connected) => connected,
                None => connect_by_name(server).await?,
            },
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

/// How long the address of a connection serves further ones without a look-up of the name. Just long enough for the
/// connections that a pool opens together, so that a failover is noticed as soon as the name says so.
const RECENT: Duration = Duration::from_secs(1);

/// The address that a server's name led to most recently.
#[derive(Debug, Default)]
pub struct RecentAddress(Mutex<Option<(SocketAddr, Instant)>>);

impl RecentAddress {
    fn slot(&self) -> MutexGuard<'_, Option<(SocketAddr, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self) -> Option<SocketAddr> {
        self.slot().filter(|(_, found)| found.elapsed() < RECENT).map(|(address, _)| address)
    }

    fn set(&self, address: SocketAddr, found: Instant) {
        *self.slot() = Some((address, found));
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Connects to the address of the last connection, if that was recent.
async fn connect_as_before(server: &Server) -> Option<(TcpStream, SocketAddr)> {
    let address = server.recent_address.get()?;
    Some((dial(address).await.ok()?, address))
}

/// Connects to the first of the server's addresses that accepts the connection.
async fn connect_by_name(server: &Server) -> Result<(TcpStream, SocketAddr), Failure> {
    let found = Instant::now();
    let addresses = lookup_host((&*server.host, server.port)).await;
    let mut failure = unreachable(server, "its name has no address");
    for address in addresses.map_err(|error| unreachable(server, error))? {
        match dial(address).await {
            Ok(stream) => {
                server.recent_address.set(address, found);
                return Ok((stream, address));
            }
            Err(error) => failure = unreachable(server, error),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_recent_for_a_second() {
        let (recent, address, now) =
            (RecentAddress::default(), SocketAddr::from(([10, 0, 0, 1], 5432)), Instant::now());
        assert_eq!(recent.get(), None);
        recent.set(address, now);
        assert_eq!(recent.get(), Some(address));
        recent.set(address, now.checked_sub(RECENT).unwrap_or(now));
        assert_eq!(recent.get(), None);
    }
}
