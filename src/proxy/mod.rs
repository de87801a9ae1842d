//! A proxy that logs in for programs in any language.
//!
//! It takes a PostgreSQL client's connection, opens one to the server over verified TLS, logs in with a token, and then hands
//! bytes through: one client connection is one server connection, and nothing after the start of one is read.
//!
//! | file | what it does |
//! |---|---|
//! | [`startup`] | reads a client's first packets; fuzzed |
//! | [`scram`] | tells by a password who a client is, where that is asked for |
//! | [`wire`] | PostgreSQL's messages, as far as a login goes |
//! | [`channel`] | one side of a connection, with or without TLS; passes bytes from one to the other |
//! | [`tls`] | what TLS is set up with |
//! | [`client`], [`upstream`] | the start of a connection at either side |
//! | [`session`] | one client's connection from its first byte to its last |
//! | [`watch`], [`metrics`], [`log`] | what operators see |
//!
//! # Threads
//! The proxy is a process of its own, so unlike the library it owns tokio runtimes for its life: one for each of its threads,
//! which share nothing but counters and the token cache. None of them touches Python. Python waits for a descriptor, and stops
//! them by [`Proxy::stop`].

pub mod channel;
pub mod client;
pub mod failure;
pub mod log;
pub mod metrics;
pub mod scram;
pub mod session;
pub mod startup;
pub mod tls;
pub mod upstream;
pub mod watch;
pub mod wire;

use std::{
    fmt,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use channel::{Channel, Socket};
use futures_util::future::Either;
use log::Log;
use metrics::Counters;
use rustls::pki_types::ServerName;
use scram::Passwords;
use session::{CancelKeys, Open};
use tokio::{
    runtime,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    credential::TokenSource,
    login::Logins,
    platform::{
        local_socket,
        log_buffer::Level,
        socket::{self, PairedSocket},
    },
};

/// Who logs in.
#[derive(Debug)]
pub struct Identity {
    /// Its tokens.
    pub logins: Arc<Logins>,
    /// Where they come from.
    pub source: Arc<dyn TokenSource>,
}

/// Where clients come in.
#[derive(Debug)]
pub enum Listener {
    /// From this machine or others.
    Tcp(TcpListener),
    /// From this machine.
    Local(local_socket::Listener),
}

/// A server, and where its clients come in.
#[derive(Debug)]
pub struct Upstream {
    /// What figures and the log call it.
    pub name: String,
    /// Its host name, which its certificate must bear.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Scope of the tokens that it takes.
    pub scope: Arc<str>,
    /// PEM file with the root certificates to verify it against.
    pub roots: PathBuf,
    /// Its clients' way in.
    pub listeners: Vec<Listener>,
}

/// Who may come in.
#[derive(Debug, Default)]
pub struct Access {
    /// The only role that clients may log in as.
    pub user: Option<String>,
    /// The only database that they may use.
    pub database: Option<String>,
    /// Their passwords; `None` lets everybody in who reaches a listener.
    pub passwords: Option<Passwords>,
    /// TLS towards them.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// What nobody may exceed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Time until a client has said who it is.
    pub identify: Duration,
    /// Time that a login may take after that.
    pub login: Duration,
}

/// All settings.
#[derive(Debug)]
pub struct Config {
    /// At least one.
    pub upstreams: Vec<Upstream>,
    /// Who may come in.
    pub access: Access,
    /// What nobody may exceed.
    pub limits: Limits,
    /// Other machines may reach a listener.
    pub allow_remote: bool,
    /// Answers probes and Prometheus.
    pub http: Option<TcpListener>,
    /// A file that is there while the proxy is ready.
    pub health_file: Option<PathBuf>,
    /// The log has everything.
    pub debug: bool,
}

/// A server as connections see it.
#[derive(Debug)]
pub struct Server {
    name: String,
    host: String,
    port: u16,
    scope: Arc<str>,
    tls: Arc<rustls::ClientConfig>,
    tls_name: ServerName<'static>,
    counters: Counters,
    keys: CancelKeys,
}

impl Server {
    fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    servers: Vec<Arc<Server>>,
    identity: Identity,
    access: Access,
    limits: Limits,
    health_file: Option<PathBuf>,
    log: Log,
    open: AtomicUsize,
    stopping: AtomicBool,
    /// What the last attempt to have a token failed with.
    no_token: Mutex<Option<String>>,
}

impl Shared {
    fn scopes(&self) -> Vec<Arc<str>> {
        let mut scopes: Vec<_> = self.servers.iter().map(|server| Arc::clone(&server.scope)).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }

    /// Why a new client would not get a connection, as far as can be seen from here.
    fn problem(&self) -> Option<String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some("the proxy is stopping".to_owned());
        }
        let has_token = |scope: &Arc<str>| self.identity.logins.tokens.has_usable(scope);
        if self.scopes().iter().all(has_token) {
            return None;
        }
        let why = self.no_token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(format!("no token: {}", why.unwrap_or_else(|| "the first one is being requested".to_owned())))
    }
}

/// Where a client came in.
struct Gate {
    listener: Listener,
    server: Arc<Server>,
    exposed: bool,
}

/// A client that goes to another thread.
struct Arrival {
    socket: Accepted,
    open: Open,
    exposed: bool,
    excess: bool,
}

enum Accepted {
    Tcp(TcpStream),
    Local(local_socket::Stream),
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    stops: UnboundedSender<Duration>,
    /// Becomes readable when it has ended.
    ended: PairedSocket,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Writes the log.
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Beyond the limit, so many clients hear of it; others are turned away without a word.
const HEAR_OF_LIMIT: usize = 16;
/// How long the log may take to be written in the end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// More threads than this have never made it faster.
const MOST_THREADS: usize = 4;

impl Proxy {
    /// Begins to serve.
    ///
    /// # Errors
    /// Settings that cannot be, files that cannot be read, or no threads.
    pub fn start(config: Config, identity: Identity) -> Result<Self, String> {
        let mut gates = Vec::new();
        let mut servers = Vec::new();
        for upstream in config.upstreams {
            let tls_name = ServerName::try_from(upstream.host.clone());
            let server = Arc::new(Server {
                tls: tls::towards_servers(&upstream.roots)?,
                tls_name: tls_name.map_err(|_| format!("{:?} is not a host name", upstream.host))?,
                name: upstream.name,
                host: upstream.host,
                port: upstream.port,
                scope: upstream.scope,
                counters: Counters::default(),
                keys: CancelKeys::default(),
            });
            for listener in upstream.listeners {
                let exposed = is_exposed(&listener, &config.access, config.allow_remote)?;
                gates.push(Gate { listener, server: Arc::clone(&server), exposed });
            }
            servers.push(server);
        }
        let no_thread = |error| format!("the operating system gives no thread: {error}");
        let (log, writer) = Log::start(config.debug).map_err(no_thread)?;
        let shared = Arc::new(Shared {
            servers,
            identity,
            access: config.access,
            limits: config.limits,
            health_file: config.health_file,
            log,
            open: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            no_token: Mutex::default(),
        });
        let (ended, end) = socket::pair().map_err(|error| error.to_string())?;
        let (stops, stop) = unbounded_channel();
        let mut threads = Vec::new();
        let mut others = Vec::new();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        // The server's backends, or other programs, want the other half.
        for number in 1..(processors / 2).clamp(1, MOST_THREADS) {
            let (arrivals, queue) = unbounded_channel();
            let shared = Arc::clone(&shared);
            let builder = thread::Builder::new().name(format!("proxy-{number}"));
            threads.push(builder.spawn(move || run(take_in(shared, queue))).map_err(no_thread)?);
            others.push(arrivals);
        }
        let builder = thread::Builder::new().name("proxy-0".to_owned());
        let first = builder.spawn(move || {
            run(serve(shared, gates, config.http, others, stop));
            drop(end);
        });
        threads.push(first.map_err(no_thread)?);
        Ok(Self { stops, ended, threads: Mutex::new(threads), writer: Mutex::new(Some(writer)) })
    }

    /// Becomes readable when the proxy has ended.
    #[must_use]
    pub fn fileno(&self) -> i64 {
        socket::number(&self.ended)
    }

    /// Takes no more clients, and ends when those that are there have, or after `grace`. A later call's `grace` counts from then.
    pub fn stop(&self, grace: Duration) {
        // Err: it has ended.
        let _ = self.stops.send(grace);
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// A thread panicked.
    pub fn join(&self) -> Result<(), String> {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let failed = threads.into_iter().rev().map(JoinHandle::join).filter(Result::is_err).count();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let deadline = std::time::Instant::now() + LAST_WORDS;
        // Bounded: nobody may be reading the log.
        while writer.as_ref().is_some_and(|writer| !writer.is_finished()) && std::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        if failed > 0 { Err("the proxy failed unexpectedly; please report it".to_owned()) } else { Ok(()) }
    }
}

/// Whether other machines reach it; then clients must prove who they are, over TLS.
fn is_exposed(listener: &Listener, access: &Access, allow_remote: bool) -> Result<bool, String> {
    let Listener::Tcp(listener) = listener else { return Ok(false) };
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    if address.ip().is_loopback() {
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

/// Runs a thread's part to its end. What it leaves unfinished is dropped.
fn run(part: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(16).build();
    if let Ok(runtime) = runtime {
        runtime.block_on(part);
        // Not waited for: a name lookup cannot be cancelled.
        runtime.shutdown_background();
    }
}

/// A further thread's part.
async fn take_in(shared: Arc<Shared>, mut queue: UnboundedReceiver<Arrival>) {
    while let Some(arrival) = queue.recv().await {
        let socket = match arrival.socket {
            Accepted::Tcp(stream) => tokio::net::TcpStream::from_std(stream).map(Socket::Tcp),
            Accepted::Local(stream) => local_socket::AsyncStream::from_std(stream).map(Socket::Local),
        };
        if let Ok(socket) = socket {
            begin(socket, arrival.open, Arc::clone(&shared), arrival.exposed, arrival.excess);
        }
    }
}

fn begin(socket: Socket, open: Open, shared: Arc<Shared>, exposed: bool, excess: bool) {
    let server = Arc::clone(&open.1);
    tokio::spawn(async move {
        session::serve(Channel::new(socket), server, shared, exposed, excess).await;
        drop(open);
    });
}

/// The first thread's part: takes clients in, and all that is there once.
async fn serve(
    shared: Arc<Shared>,
    gates: Vec<Gate>,
    http: Option<TcpListener>,
    others: Vec<UnboundedSender<Arrival>>,
    mut stop: UnboundedReceiver<Duration>,
) {
    let mut gatekeepers = JoinSet::new();
    let others = Arc::new(others);
    for gate in gates {
        let facts = [
            ("server", gate.server.name.as_str().into()),
            ("on", gate.listener.place().into()),
            ("to", gate.server.place().into()),
        ];
        shared.log.event(Level::Info, "listening", &facts);
        gatekeepers.spawn(accept(gate, Arc::clone(&shared), Arc::clone(&others)));
    }
    tokio::spawn(watch::watch(Arc::clone(&shared)));
    if let Some(address) = http.as_ref().and_then(|http| http.local_addr().ok()) {
        shared.log.event(Level::Info, "http", &[("on", address.to_string().into())]);
    }
    if let Some(http) = http.and_then(|http| tokio::net::TcpListener::from_std(http).ok()) {
        tokio::spawn(watch::serve_http(Arc::clone(&shared), http));
    }
    let Some(mut grace) = stop.recv().await else { return };
    shared.stopping.store(true, Ordering::Relaxed);
    gatekeepers.shutdown().await;
    loop {
        shared.log.event(
            Level::Info,
            "stopping",
            &[("open", shared.open.load(Ordering::Acquire).into()), ("grace", grace.as_secs_f64().into())],
        );
        let deadline = Instant::now() + grace;
        match timeout_at(deadline, until_stopped(&shared, &mut stop)).await {
            Ok(Some(sooner)) => grace = sooner,
            Ok(None) | Err(_) => break,
        }
    }
    watch::write_log_records(&shared);
    if let Some(path) = &shared.health_file {
        let _ = std::fs::remove_file(path);
    }
    shared.log.event(Level::Info, "stopped", &[("open", shared.open.load(Ordering::Acquire).into())]);
}

/// Waits until nobody is left, or for another word.
async fn until_stopped(shared: &Shared, stop: &mut UnboundedReceiver<Duration>) -> Option<Duration> {
    loop {
        if shared.open.load(Ordering::Acquire) == 0 {
            return None;
        }
        if let Ok(Some(grace)) = tokio::time::timeout(Duration::from_millis(20), stop.recv()).await {
            return Some(grace);
        }
    }
}

/// Takes clients in until it is dropped.
async fn accept(gate: Gate, shared: Arc<Shared>, others: Arc<Vec<UnboundedSender<Arrival>>>) {
    enum Ready {
        Tcp(tokio::net::TcpListener),
        Local(local_socket::AsyncListener),
    }
    let ready = match gate.listener {
        Listener::Tcp(listener) => tokio::net::TcpListener::from_std(listener).map(Ready::Tcp),
        Listener::Local(listener) => local_socket::AsyncListener::from_std(listener).map(Ready::Local),
    };
    let Ok(listener) = ready else { return };
    let mut next = 0;
    loop {
        let accepted = match &listener {
            Ready::Tcp(listener) => listener.accept().await.map(|(stream, _)| Socket::Tcp(stream)),
            Ready::Local(listener) => listener.accept().await.map(|(stream, _)| Socket::Local(stream)),
        };
        let socket = match accepted {
            Ok(socket) => socket,
            Err(error) => {
                // Out of file descriptors: those who wait are served when others have gone.
                shared.log.event(Level::Warning, "accept", &[("message", error.to_string().into())]);
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let before = shared.open.fetch_add(1, Ordering::AcqRel);
        let open = Open(Arc::clone(&shared), Arc::clone(&gate.server));
        let counters = &gate.server.counters;
        metrics::add(&counters.open, 1);
        metrics::add(&counters.connections, 1);
        let excess = before >= shared.limits.connections;
        if before >= shared.limits.connections + HEAR_OF_LIMIT {
            counters.failed(metrics::Reason::Limit);
            continue;
        }
        if let Socket::Tcp(stream) = &socket
            && upstream::prepare(stream).is_err()
        {
            continue;
        }
        // In turn, this thread among them.
        next = (next + 1) % (others.len() + 1);
        match others.get(next) {
            None => begin(socket, open, Arc::clone(&shared), gate.exposed, excess),
            Some(other) => {
                let socket = match socket {
                    Socket::Tcp(stream) => stream.into_std().map(Accepted::Tcp),
                    Socket::Local(stream) => stream.into_std().map(Accepted::Local),
                };
                if let Ok(socket) = socket {
                    // Err: that thread has ended.
                    let _ = other.send(Arrival { socket, open, exposed: gate.exposed, excess });
                }
            }
        }
    }
}

impl Listener {
    /// A listening socket that somebody else has set up, by its number.
    ///
    /// # Errors
    /// It is none.
    pub fn new(number: i64) -> std::io::Result<Self> {
        socket::take_listener(number).map(|listener| match listener {
            Either::Left(listener) => Self::Tcp(listener),
            Either::Right(listener) => Self::Local(listener),
        })
    }

    /// For the log.
    fn place(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| address.to_string()).unwrap_or_default(),
            Self::Local(listener) => local_socket::place(listener),
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("exposed", &self.exposed).finish_non_exhaustive()
    }
}
