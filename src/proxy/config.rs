//! The proxy's settings.

use std::{net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use super::{listener::Listener, scram::Passwords};

/// All settings.
#[derive(Debug)]
pub struct Config {
    /// At least one server.
    pub upstreams: Vec<Upstream>,
    /// Which clients are accepted.
    pub access: Access,
    /// The limits.
    pub limits: Limits,
    /// Whether listeners may be reachable from other machines.
    pub allow_remote: bool,
    /// Where probes and Prometheus are answered.
    pub http: Option<TcpListener>,
    /// A file that exists while the proxy is ready.
    pub health_file: Option<PathBuf>,
    /// Whether debug events are logged.
    pub debug: bool,
}

/// A server and its listeners.
#[derive(Debug)]
pub struct Upstream {
    /// The name in metrics and in the log.
    pub name: String,
    /// The host name, which the server's certificate must contain.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The scope of the tokens for the server.
    pub scope: Arc<str>,
    /// A PEM file with the root certificates to verify the server against.
    pub roots: PathBuf,
    /// Where the server's clients connect.
    pub listeners: Vec<Listener>,
}

/// Which clients are accepted.
#[derive(Debug, Default)]
pub struct Access {
    /// The only role that clients may log in as.
    pub user: Option<String>,
    /// The only database that clients may use.
    pub database: Option<String>,
    /// The clients' passwords; without them, every client that reaches a listener is accepted.
    pub passwords: Option<Passwords>,
    /// TLS for clients.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// Limits on clients.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The number of sessions, and of clients that have not yet said who they are.
    pub connections: usize,
    /// The time until a client has said who it is.
    pub identify: Duration,
    /// The time for a login after that.
    pub login: Duration,
}
