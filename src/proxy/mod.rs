//! A proxy that logs in for programs in any language.
//!
//! It accepts a PostgreSQL client's connection, opens one to the server over verified TLS, logs in with a token, and then passes
//! bytes through. One client connection is one server connection, and only its beginning is parsed.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | the settings |
//! | [`service`], [`listener`] | starts and stops the proxy's threads, accepts clients |
//! | [`session`] | one client's connection from the first byte to the last |
//! | [`arrivals`] | bounds the number of clients that have not yet said who they are |
//! | [`client`], [`startup`] | what a client says first, and the parser for it, which is fuzzed |
//! | [`scram`] | passwords of clients |
//! | [`failure`] | why a client does not get a session |
//! | [`upstream`], [`identity`] | the login to the server, and the token for it |
//! | [`wire`] | PostgreSQL's messages, as far as a login needs them |
//! | [`relay`] | passes bytes between client and server |
//! | [`channel`], [`tls`] | one side of a connection |
//! | [`cancel`] | which server a cancel request is for |
//! | [`watch`], [`http`], [`metrics`], [`log`] | what operators see |
//!
//! # Threads
//! The proxy is a process of its own. Unlike the library it owns tokio runtimes for as long as it lives: one for each of its
//! threads, which share only the counters and the token cache. None of them touches Python. Python waits for a descriptor to
//! become readable, and stops them with [`Proxy::stop`].

pub mod arrivals;
pub mod cancel;
pub mod channel;
pub mod client;
pub mod config;
pub mod failure;
pub mod http;
pub mod identity;
pub mod listener;
pub mod log;
pub mod metrics;
pub mod relay;
pub mod scram;
pub mod service;
pub mod session;
pub mod startup;
pub mod tls;
pub mod upstream;
pub mod watch;
pub mod wire;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arrivals::Arrivals;
use cancel::CancelKeys;
use config::{Access, AccessConfig, Limits, Upstream};
use identity::Identity;
use log::Log;
use metrics::Counters;
use rustls::pki_types::ServerName;
pub use service::Proxy;
use tokio::sync::Semaphore;
use upstream::RecentAddress;

/// A server as connections see it.
#[derive(Debug)]
pub struct Server {
    name: String,
    host: String,
    port: u16,
    scope: Arc<str>,
    /// The file of the root certificates that `tls` has.
    roots: PathBuf,
    tls: RwLock<Arc<rustls::ClientConfig>>,
    tls_name: ServerName<'static>,
    counters: Counters,
    keys: CancelKeys,
    recent_address: RecentAddress,
}

impl Server {
    fn new(settings: &Upstream) -> Result<Self, String> {
        let tls_name = ServerName::try_from(settings.host.clone());
        Ok(Self {
            name: settings.name.clone(),
            host: settings.host.clone(),
            port: settings.port,
            scope: Arc::clone(&settings.scope),
            roots: settings.roots.clone(),
            tls: RwLock::new(tls::towards_servers(&settings.roots)?),
            tls_name: tls_name.map_err(|_| format!("{:?} is not a host name", settings.host))?,
            counters: Counters::default(),
            keys: CancelKeys::default(),
            recent_address: RecentAddress::default(),
        })
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn tls(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.tls.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    servers: Vec<Arc<Server>>,
    identity: Identity,
    access_config: AccessConfig,
    access: RwLock<Arc<Access>>,
    limits: Limits,
    log: Log,
    /// Clients that have not yet said who they are.
    arrivals: Arrivals,
    /// Cancel requests on their way to the server.
    cancels: Arrivals,
    /// Sessions that may still begin.
    sessions: Semaphore,
    /// Connections of clients, in whatever state.
    open: AtomicUsize,
    stopping: AtomicBool,
    /// Why the last request for a token failed.
    token_error: Mutex<Option<String>>,
}

impl Shared {
    fn scopes(&self) -> Vec<Arc<str>> {
        let mut scopes: Vec<_> = self.servers.iter().map(|server| Arc::clone(&server.scope)).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }

    /// Return which clients are accepted now.
    fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads all files again: passwords, the certificate for clients and its key, and the servers' root certificates. New
    /// connections get what they hold now; open ones are not touched.
    ///
    /// # Errors
    /// A file cannot be used. Then nothing changes.
    fn reload(&self) -> Result<(), String> {
        let access = self.access_config.load()?;
        let roots = self.servers.iter().map(|server| tls::towards_servers(&server.roots));
        let roots = roots.collect::<Result<Vec<_>, _>>()?;
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
        for (server, roots) in self.servers.iter().zip(roots) {
            *server.tls.write().unwrap_or_else(PoisonError::into_inner) = roots;
        }
        Ok(())
    }

    /// Return why a new client would not get a session, as far as the proxy knows.
    fn problem(&self) -> Option<String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some("the proxy is stopping".to_owned());
        }
        let has_token = |scope: &Arc<str>| self.identity.logins.tokens.has_usable(scope);
        if self.scopes().iter().all(has_token) {
            return None;
        }
        let error = self.token_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(format!("no token: {}", error.unwrap_or_else(|| "the first one is being requested".to_owned())))
    }
}
