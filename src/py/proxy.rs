//! The proxy for its command.

use std::path::PathBuf;

use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
};

use super::{provider::TokenProvider, time::duration};
use crate::proxy::{
    self,
    config::{AccessConfig, Config, Limits, Upstream},
    identity::Identity,
    listener::Listener,
};

/// A running proxy. Its threads never touch Python.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct Proxy(proxy::Proxy);

/// Name, host, port, scope, file of root certificates, and listening sockets, by their numbers.
type Server = (String, String, u16, String, PathBuf, Vec<i64>);

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
        let source = provider.source().ok_or_else(|| PyValueError::new_err("the credential is not a native one"))?;
        let mut upstreams = Vec::new();
        for (name, host, port, scope, roots, numbers) in servers {
            let listeners = numbers.into_iter().map(Listener::new).collect::<std::io::Result<_>>()?;
            upstreams.push(Upstream { name, host, port, scope: scope.into(), roots, listeners });
        }
        let http = http.map(Listener::new).transpose()?.map(Listener::into_tcp);
        let config = Config {
            upstreams,
            access: AccessConfig { user, database, password_file, certificate },
            limits: Limits {
                connections: max_connections,
                identify: duration("client_timeout", client_timeout)?,
                login: duration("login_timeout", login_timeout)?,
            },
            allow_remote,
            http,
            health_file,
            debug,
        };
        // In the form of a link, the default chain does not fall back to Python, which makes no fetches here.
        let identity = Identity { logins: provider.logins(), source: source.as_link().unwrap_or(source) };
        proxy::Proxy::start(config, identity).map(Self).map_err(PyValueError::new_err)
    }

    fn fileno(&self) -> i64 {
        self.0.fileno()
    }

    /// Log what comes of it, too.
    fn reload(&self) -> bool {
        self.0.reload()
    }

    fn stop(&self, grace: f64) -> PyResult<()> {
        self.0.stop(duration("grace", grace)?);
        Ok(())
    }

    /// Waits with the GIL held, which its threads never need.
    fn join(&self) -> PyResult<()> {
        self.0.join().map_err(PyRuntimeError::new_err)
    }
}
