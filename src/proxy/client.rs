//! What a client says first: who it is, and with a password file the proof of it.

use std::io::{self, ErrorKind};

use zeroize::Zeroizing;

use super::{
    channel::Channel,
    config::Access,
    failure::Failure,
    metrics::Reason,
    scram::{self, Passwords, Refusal},
    startup::{self, Packet, Startup},
    tls,
    wire::{self, Malformed, Message},
};

/// What a client wants.
#[derive(Debug)]
pub enum Request {
    /// To cancel the statement of the connection with this process id and key.
    Cancel(Box<[u8]>),
    /// A session.
    Session(Session),
}

/// The session that a client wants.
#[derive(Debug)]
pub struct Session {
    /// The startup message, unchanged but for pinned parameters that the client left out.
    pub message: Vec<u8>,
    /// The role that it names, or that is pinned.
    pub user: Option<String>,
    /// What the client has sent ahead of the server's answer.
    pub early: Vec<u8>,
}

const PROTOCOL_VIOLATION: &str = "08P01";
const INVALID_AUTHORIZATION: &str = "28000";
const INVALID_PASSWORD: &str = "28P01";

/// The longest SASL message; PostgreSQL's clients send much shorter ones.
const MAX_SASL: usize = 4096;

fn refused(sqlstate: &'static str, text: impl Into<String>) -> Failure {
    Failure::fatal(Reason::Refused, sqlstate, text)
}

/// Reads what a client wants. `remote` tells whether it may be on another machine.
///
/// # Errors
/// The client goes away, violates the protocol, or is refused.
pub async fn identify(channel: &mut Channel, access: &Access, remote: bool) -> Result<Request, Failure> {
    let mut buffer = Vec::new();
    let (mut asked_tls, mut asked_gss) = (false, false);
    loop {
        let read = startup::read(&buffer).map_err(|error| refused(error.sqlstate(), error.to_string()))?;
        let Some((packet, length)) = read else {
            more(channel, &mut buffer).await?;
            continue;
        };
        match packet {
            Packet::DirectTls => {
                let remedy = if access.tls.is_some() { "sslnegotiation=postgres" } else { "sslmode=disable" };
                let text =
                    format!("TLS without a request for it (sslnegotiation=direct) is not supported; use {remedy}");
                return Err(refused(PROTOCOL_VIOLATION, text));
            }
            Packet::Ssl if asked_tls || channel.is_encrypted() => {
                return Err(refused(PROTOCOL_VIOLATION, "the client asked for TLS twice"));
            }
            Packet::Gssenc if asked_gss || channel.is_encrypted() => {
                return Err(refused(PROTOCOL_VIOLATION, "the client asked for GSSAPI encryption twice"));
            }
            Packet::Gssenc => {
                asked_gss = true;
                buffer.drain(..length);
                channel.send(b"N").await?;
            }
            Packet::Ssl => {
                asked_tls = true;
                buffer.drain(..length);
                let Some(config) = &access.tls else {
                    channel.send(b"N").await?;
                    continue;
                };
                if !buffer.is_empty() {
                    // It would be treated as if it had arrived encrypted (CVE-2021-23214 in PostgreSQL).
                    return Err(refused(PROTOCOL_VIOLATION, "received unencrypted data after the request for TLS"));
                }
                channel.send(b"S").await?;
                let session = tls::with_client(config).map_err(io::Error::other)?;
                channel.encrypt(session, &mut buffer).await?;
            }
            Packet::Cancel(key) => return Ok(Request::Cancel(key.0.into())),
            Packet::Startup(startup) => {
                let (message, user) = admit(&startup, access, remote && !channel.is_encrypted())?;
                let mut early = buffer.split_off(length);
                if let Some(passwords) = &access.passwords {
                    authenticate(channel, passwords, user.as_deref().unwrap_or_default(), &mut early).await?;
                }
                return Ok(Request::Session(Session { message, user, early }));
            }
        }
    }
}

/// Return the startup message for the server, and the client's user. `exposed` tells whether others can read what is sent.
fn admit(startup: &Startup<'_>, access: &Access, exposed: bool) -> Result<(Vec<u8>, Option<String>), Failure> {
    if exposed {
        return Err(refused(
            INVALID_AUTHORIZATION,
            "unencrypted connections from other machines are not accepted; use sslmode=verify-full",
        ));
    }
    let mut missing = Vec::new();
    let user = pinned(startup, "user", access.user.as_deref(), &mut missing)?;
    pinned(startup, "database", access.database.as_deref(), &mut missing)?;
    Ok((startup.message(&missing), user))
}

/// Return a parameter's value. A client that names another value than the pinned one is refused, because it would otherwise work as
/// another role, or in another database, than it expects.
fn pinned<'pin>(
    startup: &Startup<'_>,
    name: &'static str,
    pin: Option<&'pin str>,
    missing: &mut Vec<(&'static str, &'pin str)>,
) -> Result<Option<String>, Failure> {
    if startup.is_ambiguous(name) {
        return Err(refused(PROTOCOL_VIOLATION, format!("the startup packet names {name} more than once")));
    }
    let given = startup.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
    match (given, pin) {
        (Some(given), Some(pin)) if given != pin => Err(refused(
            INVALID_AUTHORIZATION,
            format!(
                "only connections with {name} \"{pin}\" are accepted here, not \"{given}\"; set {name} to that or leave it out"
            ),
        )),
        (None, Some(pin)) => {
            missing.push((name, pin));
            Ok(Some(pin.to_owned()))
        }
        (given, _) => Ok(given),
    }
}

async fn more(channel: &mut Channel, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    if channel.receive(buffer).await? == 0 {
        return Err(Failure::Gone(ErrorKind::UnexpectedEof.into()));
    }
    Ok(())
}

/// Checks by SCRAM-SHA-256 that the client knows the password.
async fn authenticate(
    channel: &mut Channel,
    passwords: &Passwords,
    user: &str,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let nonce =
        scram::new_nonce().ok_or_else(|| refused("58000", "the operating system provides no random numbers"))?;
    let to_fatal = |refusal| match refusal {
        Refusal::Malformed => refused(PROTOCOL_VIOLATION, "malformed SCRAM message"),
        Refusal::ChannelBinding => {
            refused(PROTOCOL_VIOLATION, "channel binding is not supported here; use channel_binding=disable")
        }
        Refusal::Password => Failure::fatal(
            Reason::Password,
            INVALID_PASSWORD,
            format!("password authentication failed for user \"{user}\""),
        ),
    };
    let mechanisms = [scram::MECHANISM.as_bytes(), &[0, 0]].concat();
    channel.send(&wire::authentication(10, &mechanisms)).await?;
    let first = sasl_response(channel, buffer).await?;
    let (challenge, answer) = passwords.begin(user.as_bytes()).challenge(&first, &nonce).map_err(to_fatal)?;
    channel.send(&wire::authentication(11, answer.as_bytes())).await?;
    let last = sasl_response(channel, buffer).await?;
    let proof = challenge.finish(&last).map_err(to_fatal)?;
    channel.send(&wire::authentication(12, proof.as_bytes())).await?;
    Ok(())
}

async fn sasl_response(channel: &mut Channel, buffer: &mut Vec<u8>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    loop {
        match wire::first_message(buffer, MAX_SASL) {
            Ok(None) => more(channel, buffer).await?,
            Ok(Some(Message { kind: b'p', body, length })) => {
                let body = Zeroizing::new(body.to_vec());
                buffer.drain(..length);
                return Ok(body);
            }
            Ok(Some(_)) | Err(Malformed) => return Err(refused(PROTOCOL_VIOLATION, "expected a SASL response")),
        }
    }
}
