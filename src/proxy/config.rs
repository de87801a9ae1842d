//! The proxy's settings.

use std::{
    fmt::Display,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use zeroize::Zeroizing;

use super::{listener::Listener, scram::Passwords, tls};
use crate::platform::private_file;

/// All settings.
#[derive(Debug)]
pub struct Config {
    /// At least one server.
    pub upstreams: Vec<Upstream>,
    /// Which clients are accepted.
    pub access: AccessConfig,
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

/// Which clients are accepted, as the command's arguments say.
#[derive(Debug)]
pub struct AccessConfig {
    /// The only role that clients may log in as.
    pub user: Option<String>,
    /// The only database that clients may use.
    pub database: Option<String>,
    /// The file of the clients' passwords.
    pub password_file: Option<PathBuf>,
    /// The files of the certificate for clients, and of its private key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl AccessConfig {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read or used, or other users of this machine can read the secrets in it.
    pub fn load(&self) -> Result<Access, String> {
        let passwords = self.password_file.as_deref().map(read_passwords).transpose()?;
        let tls = self.certificate.as_ref().map(|(certificate, key)| {
            check_private(key)?;
            tls::towards_clients(certificate, key)
        });
        Ok(Access { user: self.user.clone(), database: self.database.clone(), passwords, tls: tls.transpose()? })
    }
}

/// Refuses a file with secrets that other users of this machine can read.
fn check_private(path: &Path) -> Result<(), String> {
    private_file::check_not_public(path).map_err(|reason| format!("{}: {reason}", path.display()))
}

fn read_passwords(path: &Path) -> Result<Passwords, String> {
    check_private(path)?;
    let failed = |error: &dyn Display| format!("{}: {error}", path.display());
    let bytes = Zeroizing::new(private_file::read(path).map_err(|error| failed(&error))?);
    let text = str::from_utf8(&bytes).map_err(|error| failed(&error))?;
    Passwords::parse(text).map_err(|error| failed(&error))
}

/// Which clients are accepted, with what the files hold.
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
