//! `TokenProvider`: the tokens of a credential, as Python asks for them.

use std::sync::{Arc, OnceLock};

use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple},
};

use super::{
    credentials::Credential, errors, fetch::Fetch, pending::PendingLogin, stats::TokenStats, time::unix_seconds,
    tokens::Tokens,
};
use crate::{
    connection::cloud::Cloud,
    credential::TokenSource,
    login::{LoginRequest, Logins},
    platform::{log_buffer, secret::Secret},
};

/// The tokens of one credential.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct TokenProvider {
    tokens: Arc<Tokens>,
    /// The scope of logins that name none.
    default_scope: OnceLock<&'static str>,
}

impl TokenProvider {
    /// The cache.
    pub fn logins(&self) -> Arc<Logins> {
        Arc::clone(&self.tokens.logins)
    }

    /// The native part of the credential.
    pub fn source(&self) -> Option<Arc<dyn TokenSource>> {
        self.tokens.fetcher.source.native()
    }

    fn pending(&self, scope: &str, user_known: bool, instead_of: Option<Secret>) -> PendingLogin {
        let request = LoginRequest { scope: scope.into(), user_known, instead_of, deadline: Arc::default() };
        PendingLogin::new(Arc::clone(&self.tokens), request)
    }
}

#[pymethods]
impl TokenProvider {
    #[new]
    #[pyo3(signature = (credential, /))]
    fn new(credential: &Credential) -> Self {
        Self { tokens: Arc::new(Tokens::new(credential.0.clone())), default_scope: OnceLock::new() }
    }

    /// The credential.
    #[getter]
    fn credential(&self) -> Credential {
        Credential(self.tokens.fetcher.source.clone())
    }

    /// Return the login if it is cached and no log record waits, else a pending one.
    #[pyo3(signature = (scope, user_known=false))]
    fn login<'py>(&self, py: Python<'py>, scope: &str, user_known: bool) -> PyResult<Bound<'py, PyAny>> {
        if !log_buffer::is_waiting()
            && let Some(login) = self.tokens.cached(py, scope, user_known)?
        {
            return Ok(login.into_bound(py).into_any());
        }
        Ok(Bound::new(py, self.pending(scope, user_known, None))?.into_any())
    }

    /// Return the scope of this process's Azure cloud, which is determined at the first call.
    fn default_scope(&self) -> &'static str {
        self.default_scope.get_or_init(|| Cloud::of_environment().database_scope())
    }

    /// Return user and password for the default scope if they are cached and nothing is due. It takes no arguments because
    /// passing them costs more than everything else here.
    fn conninfo<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(scope) = self.default_scope.get() else { return Ok(None) };
        self.tokens.conninfo(py, scope)
    }

    /// Return a pending login with another token than the one that the server refused.
    fn login_instead_of(&self, scope: &str, user_known: bool, refused: String) -> PendingLogin {
        self.pending(scope, user_known, Some(Secret::from(refused)))
    }

    /// State that the server accepted the login that `login_instead_of` returned.
    fn accepted(&self, scope: &str) {
        self.tokens.logins.tokens.accepted(scope);
    }

    /// Return the credentials that a chain asked in its last search, and their answers.
    fn attempts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        errors::attempts(py, &self.source().map(|source| source.attempts()).unwrap_or_default())
    }

    /// Return the counters.
    fn stats(&self, py: Python<'_>) -> PyResult<TokenStats> {
        let tokens = &self.tokens.logins.tokens;
        let expires_on = PyDict::new(py);
        for (scope, date) in tokens.expiries() {
            expires_on.set_item(&*scope, unix_seconds(date))?;
        }
        Ok(TokenStats { counted: tokens.stats.snapshot(), expires_on: expires_on.unbind() })
    }

    /// Take the fetches that Python makes.
    fn take_fetches(&self) -> Vec<Fetch> {
        self.tokens.fetcher.take()
    }

    /// End a fetch for which azure-identity found no token either.
    fn exhaust(&self, fetch: &Fetch, reason: &str) {
        if let Some(fetch) = fetch.take() {
            self.tokens.fetcher.exhaust(fetch, reason);
        }
    }
}
