//! The proxy for its command.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
};
use zeroize::Zeroizing;

use super::{provider::TokenProvider, time::duration};
use crate::{
    platform::private_file,
    proxy::{
        self,
        config::{Access, Config, Limits, Upstream},
        identity::Identity,
        listener::Listener,
        scram::Passwords,
        tls,
    },
};

/// A running proxy. Its threads never touch Python.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct Proxy(proxy::Proxy);

/// Name, host, port, scope, file of root certificates, and listening sockets, by their numbers.
type Server = (String, String, u16, String, PathBuf, Vec<i64>);

/// Refuses a file with secrets that other users of this machine can read.
fn check_private(path: &Path) -> Result<(), String> {
    private_file::check_not_public(path).map_err(|reason| format!("{}: {reason}", path.display()))
}

fn read_passwords(path: &Path) -> Result<Passwords, String> {
    check_private(path)?;
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Passwords::parse(&Zeroizing::new(text)).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_tls(certificate: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>, String> {
    check_private(key)?;
    tls::towards_clients(certificate, key)
}

#[pymethods]
impl Proxy {
    #[new]
    #[pyo3(signature = (
        provider, servers, *, user, database, password_file, certificate, allow_remote, max_connections, client_timeout,
        login_timeout, http, health_file, debug
    ))]
    #[allow(clippy::too_many_arguments, reason = "Python's keywords")]
    fn new(
        provider: &TokenProvider,
        servers: Vec<Server>,
        user: Option<String>,
        database: Option<String>,
        password_file: Option<PathBuf>,
        certificate: Option<(PathBuf, PathBuf)>,
        allow_remote: bool,
        max_connections: usize,
        client_timeout: f64,
        login_timeout: f64,
        http: Option<i64>,
        health_file: Option<PathBuf>,
        debug: bool,
    ) -> PyResult<Self> {
        let invalid = |error: String| PyValueError::new_err(error);
        let source = provider.source().ok_or_else(|| PyValueError::new_err("the credential is not a native one"))?;
        let mut upstreams = Vec::new();
        for (name, host, port, scope, roots, numbers) in servers {
            let listeners = numbers.into_iter().map(Listener::new).collect::<std::io::Result<_>>()?;
            upstreams.push(Upstream { name, host, port, scope: scope.into(), roots, listeners });
        }
        let http = http.map(Listener::new).transpose()?.map(Listener::into_tcp);
        let passwords = password_file.map(|path| read_passwords(&path)).transpose().map_err(invalid)?;
        let tls = certificate.map(|(certificate, key)| read_tls(&certificate, &key)).transpose().map_err(invalid)?;
        let config = Config {
            upstreams,
            access: Access { user, database, passwords, tls },
            limits: Limits {
                connections: max_connections,
                identify: duration(client_timeout)?,
                login: duration(login_timeout)?,
            },
            allow_remote,
            http,
            health_file,
            debug,
        };
        // As a link of another chain, a chain does not fall back to Python.
        let identity = Identity { logins: provider.logins(), source: source.as_link().unwrap_or(source) };
        proxy::Proxy::start(config, identity).map(Self).map_err(invalid)
    }

    fn fileno(&self) -> i64 {
        self.0.fileno()
    }

    fn stop(&self, grace: f64) -> PyResult<()> {
        self.0.stop(duration(grace)?);
        Ok(())
    }

    /// Waits with the GIL held, which its threads never need.
    fn join(&self) -> PyResult<()> {
        self.0.join().map_err(PyRuntimeError::new_err)
    }
}
