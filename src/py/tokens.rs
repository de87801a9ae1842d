//! The tokens of one credential: the cache, Python's objects of its logins, and who makes its fetches.

use std::sync::Arc;

use pyo3::{prelude::*, types::PyDict};

use super::{
    cached_logins::{CachedLogins, Found},
    fetcher::{Fetcher, Source},
    login::Login,
};
use crate::{
    login::{self, Logins},
    platform::{clock::SystemClock, log_buffer},
};

/// Shared by a `TokenProvider` and its pending logins.
pub struct Tokens {
    pub logins: Arc<Logins>,
    pub fetcher: Fetcher,
    cached: CachedLogins,
}

impl Tokens {
    pub fn new(source: Source) -> Self {
        Self {
            logins: Arc::new(Logins::new(Arc::new(SystemClock))),
            fetcher: Fetcher::new(source),
            cached: CachedLogins::default(),
        }
    }

    /// Return the login if it is cached, and start a fetch if its token is due for renewal.
    pub fn cached(&self, py: Python<'_>, scope: &str, user_known: bool) -> PyResult<Option<Py<Login>>> {
        let tokens = &self.logins.tokens;
        // Before the look-up, so that a token that is replaced in between makes this one old, not new.
        let version = tokens.version();
        let found = self.cached.get(py, scope, user_known, version, tokens.now());
        if let Found::Fresh(login) = found {
            tokens.stats.hit();
            return Ok(Some(login));
        }
        let Some((login, fetch)) = self.logins.cached(scope, user_known) else { return Ok(None) };
        tokens.stats.hit();
        if let Some(fetch) = fetch {
            self.fetcher.start(fetch);
        }
        if let Found::Stale(current) = found {
            self.cached.extend(&current, tokens.look_again(scope));
            return Ok(Some(current));
        }
        self.remember(py, scope, &login, version).map(Some)
    }

    /// Return user and password of a cached login, if nothing is due and no log record waits.
    pub fn conninfo<'py>(&self, py: Python<'py>, scope: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        let tokens = &self.logins.tokens;
        if log_buffer::is_waiting() {
            return Ok(None);
        }
        let Some(conninfo) = self.cached.conninfo(py, scope, tokens.version(), tokens.now()) else { return Ok(None) };
        tokens.stats.hit();
        conninfo.bind(py).copy().map(Some)
    }

    /// Make the Python object of a login, and keep it. `version` is the cache's before the login was looked up.
    pub fn remember(&self, py: Python<'_>, scope: &str, login: &login::Login, version: u64) -> PyResult<Py<Login>> {
        let fresh = login.token.lifetime.obtained_at..self.logins.tokens.look_again(scope);
        let made = Py::new(py, Login::new(py, login)?)?;
        self.cached.insert(py, scope, login.user.is_none(), version, fresh, &made)?;
        Ok(made)
    }
}
