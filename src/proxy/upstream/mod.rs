//! The login to the server: verified TLS, a token, and cancel requests.

mod connect;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod login;

use std::{net::SocketAddr, sync::Arc};

use connect::connect;
pub use connect::{RecentAddress, unreachable};
use login::{Answer, Refusal};
use tokio::time::{Instant, timeout_at};

use super::{
    Server,
    channel::Channel,
    failure::{Failure, UNREACHABLE},
    identity::Identity,
    metrics::{Reason, add},
    startup::CancelKey,
};
use crate::{
    error::Error,
    login::{Login, LoginRequest},
};

/// A session that the server has accepted.
pub struct Session {
    /// The connection to the server.
    pub channel: Channel,
    /// The server's address.
    pub address: SocketAddr,
    /// What the server has sent so far, which is for the client.
    pub messages: Vec<u8>,
}

/// Opens a session. If the server refuses a token that was cached, tries once more with a new one.
///
/// `message` returns the startup message, which names the user that is given to it unless the client has named one.
///
/// # Errors
/// There is no token, the server cannot be reached or verified, or refuses the login.
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
    let refusal = match attempt(server, &login, &message, deadline).await? {
        Ok(session) => return Ok(session),
        Err(refusal) => refusal,
    };
    if waited || !concerns_token(&refusal) {
        return Err(refusal.into());
    }
    let again = LoginRequest { instead_of: Some(login.token.secret.clone()), ..request };
    // Without another token, the client hears about the refusal; why there is none has been logged.
    let Ok((other, _)) = identity.login(again, deadline).await else { return Err(refusal.into()) };
    if other.token.secret == login.token.secret {
        return Err(refusal.into());
    }
    add(&server.counters.retries, 1);
    let session = attempt(server, &other, &message, deadline).await??;
    identity.logins.tokens.accepted(&server.scope);
    Ok(session)
}

fn no_token(error: &Error) -> Failure {
    Failure::fatal(Reason::Token, UNREACHABLE, format!("could not obtain a token: {error}"))
}

async fn attempt(
    server: &Server,
    login: &Login,
    message: &impl Fn(Option<&str>) -> Vec<u8>,
    deadline: Instant,
) -> Result<Result<Session, Refusal>, Failure> {
    let (mut channel, address) = connect(server, None, deadline).await?;
    let message = message(login.user.as_deref());
    let answer = timeout_at(deadline, login::log_in(&mut channel, server, &message, &login.token)).await;
    let answer = answer.unwrap_or_else(|_| Err(unreachable(server, "it did not answer the login in time")))?;
    Ok(match answer {
        Answer::Accepted(messages) => Ok(Session { channel, address, messages }),
        Answer::Refused(refusal) => Err(refusal),
    })
}

/// Return whether the server refuses the token, rather than the role or the database: in the words of Azure's documentation on
/// "Microsoft Entra authentication", or as PostgreSQL refuses a wrong password.
fn concerns_token(refusal: &Refusal) -> bool {
    let text = refusal.text.to_ascii_lowercase();
    refusal.sqlstate == "28P01" || ["access token", "aad_auth_tokentype"].iter().any(|words| text.contains(words))
}

/// Passes a cancel request on and waits until the server has processed it.
///
/// # Errors
/// The server cannot be reached or verified.
pub async fn cancel(
    server: &Server,
    address: SocketAddr,
    key: CancelKey<'_>,
    deadline: Instant,
) -> Result<(), Failure> {
    let (mut channel, _) = connect(server, Some(address), deadline).await?;
    let request = async {
        channel.send(&key.request()).await?;
        // The server closes the connection without an answer.
        channel.receive(&mut Vec::new()).await
    };
    let _ = timeout_at(deadline, request).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_token_is_distinguished_from_other_refusals() {
        for (sqlstate, text, expected) in [
            ("28P01", "password authentication failed for user \"a\"", true),
            ("28000", "The access token has expired", true),
            ("28000", "\"a\" is neither an AAD_AUTH_TOKENTYPE_APP_USER or an AAD_AUTH_TOKENTYPE_APP_OBO token", true),
            ("28000", "no pg_hba.conf entry for host \"127.0.0.1\"", false),
            ("3D000", "database \"b\" does not exist", false),
            ("53300", "sorry, too many clients already", false),
        ] {
            let refusal = Refusal { messages: Vec::new(), sqlstate: sqlstate.to_owned(), text: text.to_owned() };
            assert_eq!(concerns_token(&refusal), expected, "{text}");
        }
    }
}
