//! The running proxy: its threads, from start to stop.

use std::{
    net::TcpListener,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    runtime,
    sync::{
        Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Server, Shared,
    arrivals::Arrivals,
    channel::Channel,
    config::Config,
    http,
    identity::Identity,
    listener::Listener,
    log::Log,
    session::{self, Open},
    watch,
};
use crate::platform::{
    log_buffer::Level,
    socket::{self, PairedSocket},
    stream::Stream,
};

/// How long the end of the log may take to be written.
const LOG_TIMEOUT: Duration = Duration::from_secs(1);
/// More threads than this have not made the proxy faster.
const MAX_THREADS: usize = 4;

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    stops: UnboundedSender<Duration>,
    /// Becomes readable when the proxy has ended.
    ended: PairedSocket,
    threads: Mutex<Vec<JoinHandle<()>>>,
    log_writer: Mutex<Option<JoinHandle<()>>>,
    /// Weak, because the log ends when its last owner goes.
    shared: Weak<Shared>,
}

/// A listener and the server that its clients are for.
struct Entrance {
    listener: Listener,
    server: Arc<Server>,
    /// Whether other machines can reach it.
    remote: bool,
}

/// A client on its way to the thread that serves it.
struct Client {
    socket: socket2::Socket,
    open: Open,
    remote: bool,
}

impl Proxy {
    /// Starts the proxy.
    ///
    /// # Errors
    /// The settings are invalid, a file cannot be read, or the operating system has no resources left.
    pub fn start(config: Config, identity: Identity) -> Result<Self, String> {
        let access = config.access.load()?;
        let mut entrances = Vec::new();
        let mut servers = Vec::new();
        for upstream in config.upstreams {
            let server = Arc::new(Server::new(&upstream)?);
            for listener in upstream.listeners {
                let remote = listener.is_remote(&access, config.allow_remote)?;
                entrances.push(Entrance { listener, server: Arc::clone(&server), remote });
            }
            servers.push(server);
        }
        let no_thread = |error| format!("could not start a thread: {error}");
        let (log, log_writer) = Log::start(config.debug).map_err(no_thread)?;
        let shared = Arc::new(Shared {
            servers,
            identity,
            access_config: config.access,
            access: RwLock::new(Arc::new(access)),
            limits: config.limits,
            log,
            arrivals: Arrivals::new(config.limits.connections),
            cancels: Arrivals::new(config.limits.connections),
            sessions: Semaphore::new(config.limits.connections.min(Semaphore::MAX_PERMITS)),
            open: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            token_error: Mutex::default(),
        });
        let weak = Arc::downgrade(&shared);
        let (ended, end) = socket::pair().map_err(|error| error.to_string())?;
        let (stops, stop) = unbounded_channel();
        let mut threads = Vec::new();
        let mut others = Vec::new();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        // The other half of the processors is left to the clients, and to a server on the same machine.
        for number in 1..(processors / 2).clamp(1, MAX_THREADS) {
            let (clients, queue) = unbounded_channel();
            let shared = Arc::clone(&shared);
            let builder = thread::Builder::new().name(format!("proxy-{number}"));
            threads.push(builder.spawn(move || block_on(serve_queue(shared, queue))).map_err(no_thread)?);
            others.push(clients);
        }
        let builder = thread::Builder::new().name("proxy-0".to_owned());
        let first = builder.spawn(move || {
            block_on(serve(shared, entrances, config.http, config.health_file, others, stop));
            drop(end);
        });
        threads.push(first.map_err(no_thread)?);
        let (threads, log_writer) = (Mutex::new(threads), Mutex::new(Some(log_writer)));
        Ok(Self { stops, ended, threads, log_writer, shared: weak })
    }

    /// Return a descriptor that becomes readable when the proxy has ended.
    #[must_use]
    pub fn fileno(&self) -> i64 {
        socket::number(&self.ended)
    }

    /// Reads the files with passwords and certificates again, and logs what comes of it. Return whether all could be used; else
    /// those that were read before stay in use.
    pub fn reload(&self) -> bool {
        let Some(shared) = self.shared.upgrade() else { return false };
        match shared.reload() {
            Ok(()) => shared.log.event(Level::Info, "reloaded", &[]),
            Err(error) => {
                let message = format!("passwords and certificates stay as they are, because {error}");
                shared.log.event(Level::Warning, "reload", &[("message", message.into())]);
                return false;
            }
        }
        true
    }

    /// Stops accepting clients, and ends the proxy when the open connections have ended, or after `grace`. A later call can only
    /// bring the end forward.
    pub fn stop(&self, grace: Duration) {
        // It fails if the proxy has ended already.
        let _ = self.stops.send(grace);
    }

    /// Waits until the proxy has ended.
    ///
    /// # Errors
    /// A thread panicked.
    pub fn join(&self) -> Result<(), String> {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let failed = threads.into_iter().rev().map(JoinHandle::join).filter(Result::is_err).count();
        let log_writer = self.log_writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let deadline = std::time::Instant::now() + LOG_TIMEOUT;
        // Bounded, because nobody may be reading the log.
        while log_writer.as_ref().is_some_and(|writer| !writer.is_finished()) && std::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        if failed > 0 { Err("the proxy failed unexpectedly; please report it".to_owned()) } else { Ok(()) }
    }
}

/// Runs a future to its end in a runtime of its own. The tasks that it leaves behind are dropped.
fn block_on(future: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(16).build();
    if let Ok(runtime) = runtime {
        runtime.block_on(future);
        // Without waiting for name lookups, which cannot be cancelled.
        runtime.shutdown_background();
    }
}

/// Serves clients that the first thread has accepted.
async fn serve_queue(shared: Arc<Shared>, mut queue: UnboundedReceiver<Client>) {
    while let Some(client) = queue.recv().await {
        spawn_session(client, &shared);
    }
}

fn spawn_session(client: Client, shared: &Arc<Shared>) {
    // It fails if the client has gone away again.
    let Ok(stream) = Stream::new(client.socket) else { return };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        session::serve(Channel::new(stream), &client.open.1, &shared, client.remote).await;
        drop(client.open);
    });
}

/// Runs the first thread: accepts clients, and does everything that is done once.
async fn serve(
    shared: Arc<Shared>,
    entrances: Vec<Entrance>,
    http: Option<TcpListener>,
    health_file: Option<PathBuf>,
    others: Vec<UnboundedSender<Client>>,
    mut stop: UnboundedReceiver<Duration>,
) {
    let mut acceptors = JoinSet::new();
    let others = Arc::new(others);
    for entrance in entrances {
        let fields = [
            ("server", entrance.server.name.as_str().into()),
            ("on", entrance.listener.address().into()),
            ("to", entrance.server.address().into()),
        ];
        shared.log.event(Level::Info, "listening", &fields);
        acceptors.spawn(accept(entrance, Arc::clone(&shared), Arc::clone(&others)));
    }
    tokio::spawn(watch::watch(Arc::clone(&shared), health_file.clone()));
    if let Some(address) = http.as_ref().and_then(|http| http.local_addr().ok()) {
        shared.log.event(Level::Info, "http", &[("on", address.to_string().into())]);
    }
    if let Some(http) = http.and_then(|http| tokio::net::TcpListener::from_std(http).ok()) {
        tokio::spawn(http::serve(Arc::clone(&shared), http));
    }
    let Some(mut grace) = stop.recv().await else { return };
    shared.stopping.store(true, Ordering::Relaxed);
    acceptors.shutdown().await;
    let mut deadline = Instant::now() + grace;
    loop {
        let fields = [("open", shared.open.load(Ordering::Acquire).into()), ("grace", grace.as_secs_f64().into())];
        shared.log.event(Level::Info, "stopping", &fields);
        match timeout_at(deadline, until_closed(&shared, &mut stop)).await {
            Ok(Some(again)) => grace = again,
            Ok(None) | Err(_) => break,
        }
        deadline = deadline.min(Instant::now() + grace);
    }
    watch::write_log_records(&shared);
    if let Some(path) = &health_file {
        let _ = std::fs::remove_file(path);
    }
    shared.log.event(Level::Info, "stopped", &[("open", shared.open.load(Ordering::Acquire).into())]);
}

/// Waits until no connection is open, or until there is another call to stop.
async fn until_closed(shared: &Shared, stop: &mut UnboundedReceiver<Duration>) -> Option<Duration> {
    while shared.open.load(Ordering::Acquire) > 0 {
        if let Ok(Some(grace)) = timeout(Duration::from_millis(20), stop.recv()).await {
            return Some(grace);
        }
    }
    None
}

/// Accepts clients until the task is aborted.
async fn accept(entrance: Entrance, shared: Arc<Shared>, others: Arc<Vec<UnboundedSender<Client>>>) {
    let Entrance { listener, server, remote } = entrance;
    let acceptor = match listener.register() {
        Ok(acceptor) => acceptor,
        Err(error) => {
            shared.log.event(Level::Warning, "accept", &[("message", error.to_string().into())]);
            return;
        }
    };
    let mut next = 0;
    loop {
        let socket = match acceptor.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                // Out of file descriptors: clients wait until others have gone.
                shared.log.event(Level::Warning, "accept", &[("message", error.to_string().into())]);
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let client = Client { socket, open: Open::new(&shared, &server), remote };
        // The threads take turns, this one included.
        next = (next + 1) % (others.len() + 1);
        match others.get(next) {
            None => spawn_session(client, &shared),
            // It fails if that thread has ended.
            Some(other) => drop(other.send(client)),
        }
    }
}
