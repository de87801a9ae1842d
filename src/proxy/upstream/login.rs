//! The login itself, once the connection is secure.

use std::io;

use super::{
    super::{
        Server,
        channel::Channel,
        failure::{Failure, UNREACHABLE},
        metrics::Reason,
        wire::{self, Malformed, Message},
    },
    connect::unreachable,
};
use crate::cache::AccessToken;

/// The longest message that is accepted during a login.
const MAX_MESSAGE: usize = 64 * 1024;
/// The same for all messages together.
const MAX_LOGIN: usize = 256 * 1024;

/// The server's answer to a login.
pub enum Answer {
    /// It accepts. These are its messages for the client.
    Accepted(Vec<u8>),
    /// It refuses.
    Refused(Refusal),
}

/// A server's refusal of a login.
pub struct Refusal {
    /// Its messages for the client; the last one is the error.
    pub messages: Vec<u8>,
    /// The error's code.
    pub sqlstate: String,
    /// The error's text.
    pub text: String,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Server { messages: refusal.messages, text: format!("{}: {}", refusal.sqlstate, refusal.text) }
    }
}

/// Logs in with a token.
///
/// # Errors
/// The connection breaks, or the server asks for something else than a token.
pub async fn log_in(
    channel: &mut Channel,
    server: &Server,
    message: &[u8],
    token: &AccessToken,
) -> Result<Answer, Failure> {
    let broken = |error: io::Error| unreachable(server, format!("during the login: {error}"));
    channel.send(message).await.map_err(broken)?;
    let mut messages = Vec::new();
    let mut read = 0;
    let mut asked = false;
    loop {
        let rest = &messages[read..];
        let first = wire::first_message(rest, MAX_MESSAGE);
        let Some(Message { kind, body, length }) =
            first.map_err(|Malformed| unreachable(server, "it sent a malformed message"))?
        else {
            if messages.len() > MAX_LOGIN {
                return Err(unreachable(server, "it sent too much before it accepted the login"));
            }
            if channel.receive(&mut messages).await.map_err(broken)? == 0 {
                return Err(unreachable(server, "it closed the connection during the login"));
            }
            continue;
        };
        match (kind, body.first_chunk().map(|code| u32::from_be_bytes(*code))) {
            (b'R', Some(0)) => {
                wire::hide(&mut messages, token.secret.expose().as_bytes());
                return Ok(Answer::Accepted(messages));
            }
            (b'R', Some(3)) if !asked => {
                asked = true;
                messages.drain(read..read + length);
                channel.send(&wire::password(token.secret.expose())).await.map_err(broken)?;
            }
            (b'R', _) => {
                let text = "the server does not accept a token for this role, which is not a Microsoft Entra role; create it with \
                            pgaadauth_create_principal, or name another user";
                return Err(Failure::fatal(Reason::Login, UNREACHABLE, format!("{}: {text}", server.address())));
            }
            (b'E', _) => {
                messages.truncate(read + length);
                // Neither the log nor the client is told the token by a server that repeats it.
                wire::hide(&mut messages, token.secret.expose().as_bytes());
                let body = messages.get(read + 5..).unwrap_or_default();
                let field = |kind| wire::error_field(body, kind).unwrap_or_default();
                let (sqlstate, text) = (field(b'C'), field(b'M'));
                return Ok(Answer::Refused(Refusal { messages, sqlstate, text }));
            }
            // NoticeResponse and NegotiateProtocolVersion are for the client.
            (b'N' | b'v', _) => read += length,
            _ => return Err(unreachable(server, "it sent an unexpected message during the login")),
        }
    }
}
