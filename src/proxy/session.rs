//! One client's connection, from its first byte to its last.

use std::{
    future::pending,
    io::{self, ErrorKind},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{Either, select},
};
use serde_json::Value;
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Server, Shared,
    cancel::KnownKey,
    channel::Channel,
    client::{self, Request},
    failure::Failure,
    metrics::{Reason, add},
    relay::relay,
    startup::{self, CancelKey, Packet},
    upstream,
    wire::KeyFinder,
};
use crate::platform::log_buffer::Level;

/// How long a client may take to read an error and to close its connection.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves one client. `remote` tells whether it may be on another machine.
pub async fn serve(mut channel: Channel, server: &Server, shared: &Shared, remote: bool) {
    // What a session needs only at its start is in a box, so that it takes no memory later.
    let accepted = {
        let mut arrival = shared.arrivals.add();
        let accepting = Box::pin(accept(&mut channel, server, shared, remote));
        match select(accepting, pin!(arrival.displaced())).await {
            Either::Left((accepted, _)) => Ok(accepted),
            Either::Right(_) => Err(Displaced),
        }
    };
    let Ok(accepted) = accepted else { return displace(&mut channel, server, shared) };
    let (session, permit) = match accepted {
        Some(Accepted::Session(session, permit)) => (session, permit),
        Some(Accepted::Cancel(key)) => return Box::pin(cancel(&mut channel, &key, server, shared)).await,
        None => return,
    };
    match Box::pin(begin(&mut channel, session, server, shared)).await {
        Ok((other, key)) => {
            if relay(&mut channel, other, &server.counters).await {
                Box::pin(async { drop(timeout(FAREWELL, channel.drain()).await) }).await;
            }
            drop(key);
            shared.log.event(Level::Debug, "closed", &[("server", server.name.as_str().into())]);
        }
        Err(failure) => Box::pin(refuse(&mut channel, &failure, server, shared)).await,
    }
    drop(permit);
}

const TOO_MANY_CONNECTIONS: &str = "53300";

/// A client has to make room for another one.
struct Displaced;

/// What a client is accepted for.
enum Accepted<'shared> {
    /// A session, with the right to one.
    Session(client::Session, SemaphorePermit<'shared>),
    /// A cancel request, with its key.
    Cancel(Box<[u8]>),
}

/// Hears what a client wants. Return it unless the client is refused.
async fn accept<'shared>(
    channel: &mut Channel,
    server: &Server,
    shared: &'shared Shared,
    remote: bool,
) -> Option<Accepted<'shared>> {
    let access = shared.access();
    let identifying = client::identify(channel, &access, remote);
    let request = timeout(shared.limits.identify, identifying).await;
    let accepted = match request.unwrap_or_else(|_| Err(Failure::Gone(ErrorKind::TimedOut.into()))) {
        Ok(Request::Cancel(key)) => Ok(Accepted::Cancel(key)),
        Ok(Request::Session(session)) => match shared.sessions.try_acquire() {
            Ok(permit) => Ok(Accepted::Session(session, permit)),
            Err(_) => Err(Failure::fatal(
                Reason::Limit,
                TOO_MANY_CONNECTIONS,
                format!("too many connections: --max-connections={} are open", shared.limits.connections),
            )),
        },
        Err(failure) => Err(failure),
    };
    match accepted {
        Ok(accepted) => Some(accepted),
        Err(failure) => {
            refuse(channel, &failure, server, shared).await;
            None
        }
    }
}

/// Passes a cancel request on. The client is not told the result.
async fn cancel(channel: &mut Channel, key: &[u8], server: &Server, shared: &Shared) {
    if let Some(address) = server.keys.find(key) {
        add(&server.counters.cancels, 1);
        // Bounded apart from the clients that have not yet said who they are, which must not displace it.
        let mut passing = shared.cancels.add();
        let request = pin!(upstream::cancel(server, address, CancelKey(key), Instant::now() + shared.limits.login));
        if let Either::Left((Err(failure), _)) = select(request, pin!(passing.displaced())).await {
            return refuse(channel, &failure, server, shared).await;
        }
    }
    // Under TLS, libpq takes any other end for a failure of the request.
    let _ = timeout(FAREWELL, channel.close()).await;
}

/// Tells a client that it makes room for another one, as far as its socket takes that at once: one that was waited for would not
/// make room. In the midst of a TLS handshake nothing can be said.
fn displace(channel: &mut Channel, server: &Server, shared: &Shared) {
    let text = format!(
        "too many clients connect at once, and of {} this one has not said for longest who it is; try again",
        shared.limits.connections
    );
    let failure = Failure::fatal(Reason::Limit, TOO_MANY_CONNECTIONS, text);
    log_refusal(&failure, server, shared);
    let _ = farewell(channel, &failure).now_or_never();
}

/// Logs a failure and tells the client about it.
async fn refuse(channel: &mut Channel, failure: &Failure, server: &Server, shared: &Shared) {
    log_refusal(failure, server, shared);
    let _ = timeout(FAREWELL, farewell(channel, failure)).await;
}

/// Tells the client about a failure, and closes its connection so that it can read that.
async fn farewell(channel: &mut Channel, failure: &Failure) -> std::io::Result<()> {
    channel.send(&failure.messages()).await?;
    channel.close().await?;
    channel.drain().await;
    Ok(())
}

fn log_refusal(failure: &Failure, server: &Server, shared: &Shared) {
    server.counters.failed(failure.reason());
    let level = if failure.reason() == Reason::Client { Level::Debug } else { Level::Warning };
    let fields: [(&str, Value); 4] = [
        ("server", server.name.as_str().into()),
        ("reason", failure.reason().name().into()),
        ("message", failure.text().into()),
        ("remedy", failure.remedy().into()),
    ];
    shared.log.event(level, "refused", &fields);
}

/// Logs in to the server. Return its side of the connection, and its key for cancel requests.
async fn begin<'server>(
    channel: &mut Channel,
    session: client::Session,
    server: &'server Server,
    shared: &Shared,
) -> Result<(Channel, Option<KnownKey<'server>>), Failure> {
    let client::Session { message, user, mut early } = session;
    let begun = Instant::now();
    let deadline = begun + shared.limits.login;
    let with_user = |found: Option<&str>| match (found, startup::read(&message)) {
        (Some(found), Ok(Some((Packet::Startup(startup), _)))) => startup.message(&[("user", found)]),
        _ => message.clone(),
    };
    let opening = pin!(upstream::open(server, &shared.identity, with_user, user.is_some(), deadline));
    let opened = match select(opening, pin!(client_ended(channel, &mut early))).await {
        Either::Left((opened, _)) => opened?,
        // The session would take a place until then, here and on the server, and nobody would use it.
        Either::Right((error, _)) => return Err(Failure::Gone(error)),
    };
    let upstream::Session { channel: mut other, address, messages } = opened;
    let (key, messages) = pass_on_greeting(channel, &mut other, messages, server, deadline).await?;
    // Before the client gets its key, and may use it.
    let key = key.map(|key| server.keys.insert(key, address));
    server.counters.logged_in(begun.elapsed());
    let fields = [
        ("server", server.name.as_str().into()),
        ("user", user.into()),
        ("seconds", begun.elapsed().as_secs_f64().into()),
    ];
    shared.log.event(Level::Debug, "login", &fields);
    send(channel, &messages, deadline).await?;
    if !early.is_empty() {
        add(&server.counters.bytes_up, early.len() as u64);
        // If this fails, the relay notices it after it has passed on what the server said.
        let _ = other.send(&early).await;
    }
    Ok((other, key))
}

/// Waits until a client has gone that waits for its session. If it has sent something ahead, it may send nothing more and still
/// wait for the answer.
async fn client_ended(channel: &mut Channel, early: &mut Vec<u8>) -> io::Error {
    if early.is_empty() {
        match channel.receive(early).await {
            Ok(0) => return ErrorKind::UnexpectedEof.into(),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
    pending().await
}

/// Passes on the server's messages up to those with the session's key. Return the key, and what is still to be passed on.
///
/// # Errors
/// The server does not send it in time, or the client is gone.
async fn pass_on_greeting(
    channel: &mut Channel,
    other: &mut Channel,
    mut messages: Vec<u8>,
    server: &Server,
    deadline: Instant,
) -> Result<(Option<Box<[u8]>>, Vec<u8>), Failure> {
    let mut finder = KeyFinder::default();
    while !finder.read(&messages) {
        send(channel, &messages, deadline).await?;
        messages.clear();
        match timeout_at(deadline, other.receive(&mut messages)).await {
            Ok(Ok(1..)) => {}
            // The relay notices the end as well.
            Ok(_) => break,
            Err(_) => return Err(upstream::unreachable(server, "it did not complete the login in time")),
        }
    }
    Ok((finder.key(), messages))
}

async fn send(channel: &mut Channel, bytes: &[u8], deadline: Instant) -> io::Result<()> {
    timeout_at(deadline, channel.send(bytes)).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// Counts a connection as open while it exists.
#[derive(Debug)]
pub struct Open(Arc<Shared>, pub Arc<Server>);

impl Open {
    /// Counts a new connection of a client.
    #[must_use]
    pub fn new(shared: &Arc<Shared>, server: &Arc<Server>) -> Self {
        shared.open.fetch_add(1, Ordering::AcqRel);
        add(&server.counters.open, 1);
        add(&server.counters.connections, 1);
        Self(Arc::clone(shared), Arc::clone(server))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.1.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}
