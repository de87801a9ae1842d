//! One client's connection, from its first byte to its last.

use std::{
    collections::HashMap,
    future::poll_fn,
    io::ErrorKind,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{
    Server, Shared,
    channel::{Broken, Channel, Flow, pump},
    client::{self, Wish},
    failure::Failure,
    metrics::{Reason, add},
    startup::{self, CancelKey, Packet},
    upstream,
    wire::KeyFinder,
};
use crate::platform::log_buffer::Level;

/// How long a client may take to read the last words and to go.
const FAREWELL: Duration = Duration::from_secs(1);

/// Which server a cancel request is for, by process id and secret key; a server's name may have several addresses.
#[derive(Debug, Default)]
pub struct CancelKeys(Mutex<HashMap<Box<[u8]>, SocketAddr>>);

impl CancelKeys {
    fn insert(&self, key: &[u8], address: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.into(), address);
    }

    fn remove(&self, key: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn find(&self, key: &[u8]) -> Option<SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }
}

/// A key that is known for as long as its session lasts.
struct KnownKey<'server>(&'server Server, Box<[u8]>);

impl Drop for KnownKey<'_> {
    fn drop(&mut self) {
        self.0.keys.remove(&self.1);
    }
}

/// Serves one client.
///
/// # Arguments
/// `exposed`: it came over a listener that other machines reach. `excess`: there are too many already.
pub async fn serve(mut channel: Channel, server: Arc<Server>, shared: Arc<Shared>, exposed: bool, excess: bool) {
    // In a box, so that what a session needs at its start takes no memory while it lasts.
    let begun = Box::pin(begin(&mut channel, &server, &shared, exposed, excess)).await;
    match begun {
        Ok(None) => {}
        Ok(Some((other, _key))) => {
            relay(&mut channel, other, &server).await;
            shared.log.event(Level::Debug, "closed", &[("server", server.name.as_str().into())]);
        }
        Err(failure) => {
            server.counters.failed(failure.reason());
            let level = if failure.reason() == Reason::Client { Level::Debug } else { Level::Warning };
            let facts: [(&str, Value); 3] = [
                ("server", server.name.as_str().into()),
                ("reason", failure.reason().name().into()),
                ("message", failure.text().into()),
            ];
            shared.log.event(level, "refused", &facts);
            Box::pin(farewell(&mut channel, &failure.messages())).await;
        }
    }
}

async fn farewell(channel: &mut Channel, messages: &[u8]) {
    let parting = async {
        channel.send(messages).await?;
        channel.close().await?;
        channel.drain().await;
        std::io::Result::Ok(())
    };
    let _ = timeout(FAREWELL, parting).await;
}

/// Everything before the relay: the server's side, and its key. `None` where there is nothing to relay.
async fn begin<'server>(
    channel: &mut Channel,
    server: &'server Server,
    shared: &Shared,
    exposed: bool,
    excess: bool,
) -> Result<Option<(Channel, Option<KnownKey<'server>>)>, Failure> {
    let identifying = client::identify(channel, &shared.access, exposed);
    let wish = timeout(shared.limits.identify, identifying).await;
    let wish = wish.unwrap_or_else(|_| Err(Failure::Gone(ErrorKind::TimedOut.into())))?;
    let (message, user, early) = match wish {
        Wish::Cancel(key) => {
            if let Some(address) = server.keys.find(&key) {
                add(&server.counters.cancels, 1);
                let deadline = Instant::now() + shared.limits.login;
                upstream::cancel(server, address, CancelKey(&key), deadline).await?;
            }
            // A client does not hear what became of its request.
            return Ok(None);
        }
        Wish::Session { message, user, early } => (message, user, early),
    };
    if excess {
        return Err(Failure::fatal(
            Reason::Limit,
            "53300",
            format!("too many connections: --max-connections={} are open", shared.limits.connections),
        ));
    }
    let begun = Instant::now();
    let deadline = begun + shared.limits.login;
    let with_user = |found: Option<&str>| match (found, startup::read(&message)) {
        (Some(found), Ok(Some((Packet::Startup(startup), _)))) => startup.message(&[("user", found)]),
        _ => message.clone(),
    };
    let upstream::Session { channel: mut other, address, heard } =
        upstream::open(server, &shared.identity, with_user, user.is_some(), deadline).await?;
    server.counters.logged_in(begun.elapsed());
    shared.log.event(
        Level::Debug,
        "login",
        &[
            ("server", server.name.as_str().into()),
            ("user", user.into()),
            ("seconds", begun.elapsed().as_secs_f64().into()),
        ],
    );
    let welcoming = welcome(channel, &mut other, heard);
    let key = match tokio::time::timeout_at(deadline, welcoming).await {
        Ok(key) => key?.map(|key| {
            server.keys.insert(&key, address);
            KnownKey(server, key)
        }),
        Err(_) => return Err(Failure::Gone(ErrorKind::TimedOut.into())),
    };
    if !early.is_empty() {
        add(&server.counters.bytes_up, early.len() as u64);
        // Err: the relay finds out, after it has passed on what the server said.
        let _ = other.send(&early).await;
    }
    Ok(Some((other, key)))
}

/// Passes on what the server says until it has given the session's key.
async fn welcome(channel: &mut Channel, other: &mut Channel, mut heard: Vec<u8>) -> std::io::Result<Option<Box<[u8]>>> {
    let mut finder = KeyFinder::default();
    loop {
        channel.send(&heard).await?;
        if finder.read(&heard) {
            return Ok(finder.key());
        }
        heard.clear();
        if other.receive(&mut heard).await.unwrap_or(0) == 0 {
            // The relay finds the same.
            return Ok(None);
        }
    }
}

/// Passes bytes both ways until the server has ended or the client is gone.
async fn relay(client: &mut Channel, mut server: Channel, place: &Server) {
    let (mut up, mut down) = (Flow::Open, Flow::Open);
    poll_fn(|cx| {
        let (mut sent, mut received) = (0, 0);
        let upwards = pump(cx, client, &mut server, &mut up, &mut sent);
        let downwards = pump(cx, &mut server, client, &mut down, &mut received);
        add(&place.counters.bytes_up, sent);
        add(&place.counters.bytes_down, received);
        match upwards {
            Err(Broken::From) => return Poll::Ready(()),
            // What the server said before it went is still to be passed on.
            Err(Broken::To) => up = Flow::Closed,
            Ok(()) => {}
        }
        if downwards.is_err() || down == Flow::Closed { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    if up == Flow::Open && down == Flow::Closed {
        Box::pin(async { drop(timeout(FAREWELL, client.drain()).await) }).await;
    }
}

/// Counts a connection as open while it lives.
#[derive(Debug)]
pub struct Open(pub Arc<Shared>, pub Arc<Server>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.1.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}
