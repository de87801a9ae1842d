//! The side of the server: verified TLS, the login with a token, cancel requests.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::FutureExt;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Identity, Server,
    channel::{Channel, Socket},
    failure::{Failure, UNREACHABLE},
    metrics::Reason,
    startup::CancelKey,
    tls,
    wire::{self, Malformed, Message},
};
use crate::{
    cache::AccessToken,
    credential,
    error::Error,
    login::{Fetches, Login, LoginRequest},
};

/// One address; a name may have others.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// No message of a login is as long.
const LONGEST_MESSAGE: usize = 64 * 1024;
/// Nor are all of them.
const LONGEST_LOGIN: usize = 256 * 1024;

/// Sets up a TCP connection, to a server or of a client: probes come sooner than load balancers call it idle (Azure's: four
/// minutes).
///
/// # Errors
/// It is broken.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    stream.set_nodelay(true)
}

fn unreachable(server: &Server, what: impl std::fmt::Display) -> Failure {
    Failure::fatal(Reason::Server, UNREACHABLE, format!("could not connect to {}: {what}", server.place()))
}

/// Connects to the server, or to one of its addresses, and comes to verified TLS with it.
///
/// # Errors
/// It cannot be reached within the time, or is not to be trusted.
pub async fn connect(
    server: &Server,
    address: Option<SocketAddr>,
    deadline: Instant,
) -> Result<(Channel, SocketAddr), Failure> {
    let connecting = async {
        let (stream, address) = match address {
            Some(address) => (TcpStream::connect(address).await, address),
            None => first_of(server).await?,
        };
        let stream = stream.map_err(|error| unreachable(server, error))?;
        prepare(&stream).map_err(|error| unreachable(server, error))?;
        let mut channel = Channel::new(Socket::Tcp(stream));
        channel.send(&SSL_REQUEST).await.map_err(|error| unreachable(server, error))?;
        match channel.receive_byte().await.map_err(|error| unreachable(server, error))? {
            b'S' => {}
            b'N' => {
                return Err(unreachable(server, "the server does not support TLS, and a token never travels without"));
            }
            // Whoever is in between could have written the text (CVE-2024-10977 in PostgreSQL).
            b'E' => return Err(unreachable(server, "the server answered the request for TLS with an error")),
            _ => return Err(unreachable(server, "what answers there is not PostgreSQL")),
        }
        let session = tls::with_server(&server.tls, &server.tls_name).map_err(|error| unreachable(server, error))?;
        let mut plain = Vec::new();
        let verified = channel.encrypt(session, &mut plain).await;
        verified.map_err(|error| unreachable(server, format!("TLS failed: {error}")))?;
        if !plain.is_empty() {
            return Err(unreachable(server, "the server spoke before it was asked"));
        }
        Ok((channel, address))
    };
    timeout_at(deadline, connecting).await.unwrap_or_else(|_| Err(unreachable(server, "no answer in time")))
}

/// The first of the server's addresses that takes the connection.
async fn first_of(server: &Server) -> Result<(io::Result<TcpStream>, SocketAddr), Failure> {
    let addresses = tokio::net::lookup_host((&*server.host, server.port)).await;
    let mut last = None;
    for address in addresses.map_err(|error| unreachable(server, error))? {
        let connected = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok((Ok(stream), address)),
            Err(error) => last = Some((Err(error), address)),
        }
    }
    last.ok_or_else(|| unreachable(server, "its name has no address"))
}

/// What a server says to a login.
enum Answer {
    /// It accepts; what it has said, for the client.
    Welcome(Vec<u8>),
    /// It does not; the same, the error last.
    Refused { messages: Vec<u8>, sqlstate: String, text: String },
}

async fn log_in(
    channel: &mut Channel,
    server: &Server,
    message: &[u8],
    token: &AccessToken,
) -> Result<Answer, Failure> {
    let broken = |error: io::Error| unreachable(server, format!("during the login: {error}"));
    channel.send(message).await.map_err(broken)?;
    let mut heard = Vec::new();
    let mut read = 0;
    let mut asked = false;
    loop {
        let rest = &heard[read..];
        let first = wire::first_message(rest, LONGEST_MESSAGE);
        let Some(Message { kind, body, length }) =
            first.map_err(|Malformed| unreachable(server, "it sent a malformed message"))?
        else {
            if heard.len() > LONGEST_LOGIN {
                return Err(unreachable(server, "it sent too much before it accepted the login"));
            }
            if channel.receive(&mut heard).await.map_err(broken)? == 0 {
                return Err(unreachable(server, "it closed the connection during the login"));
            }
            continue;
        };
        match (kind, body.first_chunk().map(|code| u32::from_be_bytes(*code))) {
            (b'R', Some(0)) => return Ok(Answer::Welcome(heard)),
            (b'R', Some(3)) if !asked => {
                asked = true;
                heard.drain(read..read + length);
                channel.send(&wire::password(token.secret.expose())).await.map_err(broken)?;
            }
            (b'R', _) => {
                let text = "it asks for another password than a token: the role is not one of Microsoft Entra ID; create it \
                            with pgaadauth_create_principal, or name another user";
                return Err(Failure::fatal(Reason::Login, UNREACHABLE, format!("{}: {text}", server.place())));
            }
            (b'E', _) => {
                let field = |kind| wire::error_field(body, kind).unwrap_or_default();
                let (sqlstate, text) = (field(b'C'), field(b'M'));
                heard.truncate(read + length);
                return Ok(Answer::Refused { messages: heard, sqlstate, text });
            }
            // NoticeResponse and NegotiateProtocolVersion are the client's to hear.
            (b'N' | b'v', _) => read += length,
            _ => return Err(unreachable(server, "it sent an unexpected message during the login")),
        }
    }
}

/// Whether it is the token that the server does not take. In Azure's words, see its documentation of "Azure Database for
/// PostgreSQL: Microsoft Entra authentication", and in PostgreSQL's for any wrong password.
fn is_refusal(sqlstate: &str, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    sqlstate == "28P01" || ["access token", "aad_auth_tokentype"].iter().any(|words| text.contains(words))
}

/// A session that the server has accepted.
pub struct Session {
    /// The way to it.
    pub channel: Channel,
    /// Where that leads.
    pub address: SocketAddr,
    /// What it has said so far, for the client.
    pub heard: Vec<u8>,
}

/// Opens a session: with a token that is cached, and should the server not take that, once more with a new one.
///
/// # Errors
/// There is no token, the server cannot be reached or trusted, or refuses.
pub async fn open(
    server: &Server,
    identity: &Identity,
    message: impl Fn(Option<&str>) -> Vec<u8>,
    user_known: bool,
    deadline: Instant,
) -> Result<Session, Failure> {
    let request =
        LoginRequest { scope: Arc::clone(&server.scope), user_known, instead_of: None, deadline: Arc::default() };
    let (login, waited) = identity.login(request.clone(), deadline).await.map_err(|error| no_token(&error))?;
    let first = attempt(server, &login, &message, deadline).await?;
    let (messages, sqlstate, text) = match first {
        Ok(session) => return Ok(session),
        Err(refused) => refused,
    };
    let refused = || Failure::Server { messages: messages.clone(), text: format!("{sqlstate}: {text}") };
    if waited || !is_refusal(&sqlstate, &text) {
        return Err(refused());
    }
    let again = LoginRequest { instead_of: Some(login.token.secret.clone()), ..request };
    // Err: the refusal is what the client has to hear of; the other has been logged.
    let Ok((other, _)) = identity.login(again, deadline).await else { return Err(refused()) };
    if other.token.secret == login.token.secret {
        return Err(refused());
    }
    super::metrics::add(&server.counters.retries, 1);
    match attempt(server, &other, &message, deadline).await? {
        Ok(session) => {
            identity.logins.tokens.accepted(&server.scope);
            Ok(session)
        }
        Err((messages, sqlstate, text)) => Err(Failure::Server { messages, text: format!("{sqlstate}: {text}") }),
    }
}

fn no_token(error: &Error) -> Failure {
    let text = error.to_string();
    Failure::fatal(Reason::Token, UNREACHABLE, format!("could not obtain a token: {text}"))
}

type Refused = (Vec<u8>, String, String);

async fn attempt(
    server: &Server,
    login: &Login,
    message: &impl Fn(Option<&str>) -> Vec<u8>,
    deadline: Instant,
) -> Result<Result<Session, Refused>, Failure> {
    let (mut channel, address) = connect(server, None, deadline).await?;
    let message = message(login.user.as_deref());
    let answer = timeout_at(deadline, log_in(&mut channel, server, &message, &login.token)).await;
    Ok(match answer.unwrap_or_else(|_| Err(unreachable(server, "it did not answer the login in time")))? {
        Answer::Welcome(heard) => Ok(Session { channel, address, heard }),
        Answer::Refused { messages, sqlstate, text } => Err((messages, sqlstate, text)),
    })
}

/// Passes a cancel request on and waits until the server has dealt with it.
///
/// # Errors
/// The server cannot be reached or trusted.
pub async fn cancel(
    server: &Server,
    address: SocketAddr,
    key: CancelKey<'_>,
    deadline: Instant,
) -> Result<(), Failure> {
    let (mut channel, _) = connect(server, Some(address), deadline).await?;
    let asking = async {
        channel.send(&key.request()).await?;
        let mut answer = Vec::new();
        // It closes the connection, and says nothing else.
        channel.receive(&mut answer).await
    };
    let _ = timeout_at(deadline, asking).await;
    Ok(())
}

impl Identity {
    /// A login, and whether its token had to be waited for: then another one would be no better.
    ///
    /// # Errors
    /// There is none, or not in time.
    pub async fn login(&self, request: LoginRequest, deadline: Instant) -> Result<(Login, bool), Error> {
        let scope = Arc::clone(&request.scope);
        let begun = Instant::now();
        let _ = request.deadline.set(self.logins.tokens.now().after(deadline.saturating_duration_since(begun))); // Err: set before
        let fetches = Fetches::default();
        let mut future = Arc::clone(&self.logins).login(request, Arc::clone(&fetches)).boxed();
        let mut waited = false;
        let found = poll_fn(|cx| {
            let polled = future.as_mut().poll(cx);
            let begun = std::mem::take(&mut *fetches.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
            for fetch in begun {
                credential::start(fetch, Arc::clone(&self.source));
            }
            waited |= polled.is_pending();
            polled
        });
        match timeout_at(deadline, found).await {
            Ok(login) => {
                let login = login?;
                if login.token.from_shared_cache {
                    // As good as a cached one: the server may have refused it to others.
                    waited = false;
                } else if !waited {
                    self.logins.tokens.stats.hit();
                }
                Ok((login, waited))
            }
            Err(_) => Err(self.logins.tokens.too_late(&scope, begun.elapsed())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_token_is_told_from_other_refusals() {
        for (sqlstate, text, expected) in [
            ("28P01", "password authentication failed for user \"a\"", true),
            ("28000", "The access token has expired", true),
            ("28000", "\"a\" is neither an AAD_AUTH_TOKENTYPE_APP_USER or an AAD_AUTH_TOKENTYPE_APP_OBO token", true),
            ("28000", "no pg_hba.conf entry for host \"127.0.0.1\"", false),
            ("3D000", "database \"b\" does not exist", false),
            ("53300", "sorry, too many clients already", false),
        ] {
            assert_eq!(is_refusal(sqlstate, text), expected, "{text}");
        }
    }
}
