//! `TokenProvider`: a credential and its tokens.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyDict, PyTuple},
};

use super::{
    errors,
    fetch::Fetch,
    login::{Login, unix_seconds},
    pending::PendingLogin,
    stats::TokenStats,
};
use crate::{
    cache,
    connection::cloud::Cloud,
    credential::{self, FallbackChain, TokenSource},
    error::{Attempt, Status},
    login::{self, LoginRequest, Logins},
    platform::{
        clock::{Moment, SystemClock},
        fork, log_buffer, process,
        secret::Secret,
    },
};

/// Where a provider's tokens come from.
enum Source {
    Native(Arc<dyn TokenSource>),
    /// A credential object of Python's, which is called by Python: nothing here runs code of others while we are on the
    /// stack. These are the fetches that it has to make.
    Python {
        class: Arc<str>,
        fetches: Mutex<Vec<cache::Fetch>>,
    },
    /// Native, and Python's for as long as the native one has nothing.
    Both(Arc<FallbackChain>, Mutex<Vec<cache::Fetch>>),
}

/// The tokens of one credential.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct TokenProvider {
    pub logins: Arc<Logins>,
    source: Source,
    /// Logins as Python has them, so that a cached one costs no copy of its token. Locked with the GIL held only, so that a
    /// fork finds it free.
    cached_logins: Mutex<Vec<CachedLogin>>,
    /// The scope for who names none.
    default_scope: OnceLock<&'static str>,
}

/// A login's Python object, good without a further look until its token is due for renewal or replaced.
struct CachedLogin {
    scope: Box<str>,
    user_known: bool,
    version: u64,
    /// In a forked child the token is due at another time than in its parent.
    generation: u32,
    fresh: Range<Moment>,
    login: Py<Login>,
    /// The same as drivers take it; copied for each, because it becomes theirs.
    conninfo: Option<Py<PyDict>>,
}

impl CachedLogin {
    fn is_fresh(&self, now: Moment) -> bool {
        self.generation == fork::generation() && self.fresh.contains(&now)
    }
}

/// More than a credential has scopes in practice; beyond it the oldest is made again when needed.
const CACHED_LOGINS: usize = 8;

const FALLBACK: &str = FallbackChain::FALLBACK;

impl TokenProvider {
    pub fn native(source: impl TokenSource + 'static) -> Self {
        Self::new(Source::Native(Arc::new(source)))
    }

    /// A native chain that Python takes over when it finds nothing.
    pub fn with_fallback(chain: FallbackChain) -> Self {
        Self::new(Source::Both(Arc::new(chain), Mutex::default()))
    }

    fn new(source: Source) -> Self {
        Self {
            logins: Arc::new(Logins::new(Arc::new(SystemClock))),
            source,
            cached_logins: Mutex::default(),
            default_scope: OnceLock::new(),
        }
    }

    /// The same with other native credentials, and a cache of its own.
    pub fn map(&self, change: impl Fn(Arc<dyn TokenSource>) -> Arc<dyn TokenSource>) -> Self {
        Self::new(match &self.source {
            Source::Native(source) => Source::Native(change(Arc::clone(source))),
            Source::Both(chain, _) => Source::Both(Arc::new(chain.map(change)), Mutex::default()),
            Source::Python { class, .. } => Source::Python { class: Arc::clone(class), fetches: Mutex::default() },
        })
    }

    /// The native credential, for a chain to hold.
    pub fn source(&self) -> Option<Arc<dyn TokenSource>> {
        match &self.source {
            Source::Native(source) => Some(Arc::clone(source)),
            // As a link it is asked with the others, and its own last resort is not.
            Source::Both(chain, _) => Some(Arc::clone(chain) as Arc<_>),
            Source::Python { .. } => None,
        }
    }

    /// Sees to it that a fetch is made.
    pub fn start(&self, fetch: cache::Fetch) {
        match &self.source {
            Source::Native(source) => credential::start(fetch, Arc::clone(source)),
            Source::Both(chain, _) if !chain.handed_over() => credential::start(fetch, Arc::clone(chain) as Arc<_>),
            Source::Python { fetches, .. } | Source::Both(_, fetches) => {
                fetches.lock().unwrap_or_else(PoisonError::into_inner).push(fetch);
            }
        }
    }

    /// Makes the Python object of a login, and keeps it.
    pub fn remember(&self, py: Python<'_>, scope: &str, login: &login::Login, version: u64) -> PyResult<Py<Login>> {
        let lifetime = &login.token.lifetime;
        let made = Py::new(py, Login::new(py, login)?)?;
        let user_known = login.user.is_none();
        let conninfo = made.get().conninfo(py)?;
        let cached = CachedLogin {
            scope: scope.into(),
            user_known,
            version,
            generation: fork::generation(),
            fresh: lifetime.obtained_at..self.logins.tokens.look_again(scope),
            login: made.clone_ref(py),
            conninfo,
        };
        let mut logins = self.cached_logins();
        logins.retain(|old| old.user_known != user_known || *old.scope != *scope);
        logins.truncate(CACHED_LOGINS - 1);
        logins.insert(0, cached);
        Ok(made)
    }

    fn pending<'py>(
        slf: &Bound<'py, Self>,
        scope: &str,
        user_known: bool,
        instead_of: Option<Secret>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = LoginRequest { scope: scope.into(), user_known, instead_of, deadline: Arc::default() };
        Ok(Bound::new(slf.py(), PendingLogin::new(slf.clone().unbind(), request))?.into_any())
    }

    fn cached_logins(&self) -> MutexGuard<'_, Vec<CachedLogin>> {
        self.cached_logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find<'logins>(logins: &'logins [CachedLogin], scope: &str, user_known: bool) -> Option<&'logins CachedLogin> {
        logins.iter().find(|cached| cached.user_known == user_known && *cached.scope == *scope)
    }

    /// The login if it is cached.
    fn cached(&self, py: Python<'_>, scope: &str, user_known: bool) -> PyResult<Option<Py<Login>>> {
        let tokens = &self.logins.tokens;
        let version = tokens.version();
        let logins = self.cached_logins();
        let current = Self::find(&logins, scope, user_known).filter(|cached| cached.version == version);
        if let Some(fresh) = current.filter(|cached| cached.is_fresh(tokens.now())) {
            tokens.stats.hit();
            return Ok(Some(fresh.login.clone_ref(py)));
        }
        let current = current.map(|cached| cached.login.clone_ref(py));
        drop(logins);
        let Some((login, fetch)) = self.logins.cached(scope, user_known) else { return Ok(None) };
        tokens.stats.hit();
        if let Some(fetch) = fetch {
            self.start(fetch);
        }
        let Some(current) = current else { return self.remember(py, scope, &login, version).map(Some) };
        let again = tokens.look_again(scope);
        for kept in self.cached_logins().iter_mut().filter(|kept| kept.login.is(&current)) {
            kept.fresh.end = again;
            kept.generation = fork::generation();
        }
        Ok(Some(current))
    }
}

/// A timeout in seconds, as Python says it.
pub fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err(format!("timeout={seconds}: expected a number of seconds, 0 or more")))
}

#[pymethods]
impl TokenProvider {
    /// The tokens of a credential object that Python calls.
    #[staticmethod]
    #[pyo3(signature = (class, /))]
    pub fn python(class: &str) -> Self {
        Self::new(Source::Python { class: class.into(), fetches: Mutex::default() })
    }

    /// The login if it is cached, else one to wait for; also where log records wait to be taken.
    #[pyo3(signature = (scope, user_known=false))]
    fn login<'py>(slf: &Bound<'py, Self>, scope: &str, user_known: bool) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if !log_buffer::is_waiting()
            && let Some(login) = slf.get().cached(py, scope, user_known)?
        {
            return Ok(login.into_bound(py).into_any());
        }
        Self::pending(slf, scope, user_known, None)
    }

    /// The scope of this process's Azure cloud, for who names none; settled at the first call.
    fn default_scope(&self) -> &'static str {
        self.default_scope.get_or_init(|| Cloud::of_environment().database_scope())
    }

    /// User and password for the usual scope if they are cached and nothing is due, else None; without arguments, which
    /// cost more than all the rest.
    fn conninfo<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(scope) = self.default_scope.get() else { return Ok(None) };
        let tokens = &self.logins.tokens;
        let version = tokens.version();
        let logins = self.cached_logins();
        let fresh = Self::find(&logins, scope, false)
            .filter(|cached| cached.version == version && cached.is_fresh(tokens.now()) && !log_buffer::is_waiting())
            .and_then(|cached| cached.conninfo.as_ref())
            .map(|conninfo| conninfo.clone_ref(py));
        // Making an object may run the garbage collector, and that other people's code.
        drop(logins);
        fresh
            .map(|conninfo| {
                tokens.stats.hit();
                conninfo.bind(py).copy()
            })
            .transpose()
    }

    /// A login to wait for, instead of one whose token the server refused.
    fn login_instead_of<'py>(
        slf: &Bound<'py, Self>,
        scope: &str,
        user_known: bool,
        refused: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::pending(slf, scope, user_known, Some(Secret::from(refused)))
    }

    /// The server took the login that took the refused one's place.
    fn accepted(&self, scope: &str) {
        self.logins.tokens.accepted(scope);
    }

    /// The credentials that a chain asked when it last looked for one that gives tokens.
    fn attempts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        errors::attempts(py, &self.source().map(|source| source.attempts()).unwrap_or_default())
    }

    /// What the tokens cost so far.
    fn stats(&self, py: Python<'_>) -> PyResult<TokenStats> {
        let tokens = &self.logins.tokens;
        let expires_on = PyDict::new(py);
        for (scope, date) in tokens.expiries() {
            expires_on.set_item(&*scope, unix_seconds(date))?;
        }
        Ok(TokenStats { counted: tokens.stats.snapshot(), expires_on: expires_on.unbind() })
    }

    /// What Python has to fetch.
    fn take_fetches(&self) -> Vec<Fetch> {
        match &self.source {
            Source::Native(_) => Vec::new(),
            Source::Python { class, fetches } => taken(fetches, class),
            Source::Both(_, fetches) => taken(fetches, &FALLBACK.into()),
        }
    }
}

fn taken(fetches: &Mutex<Vec<cache::Fetch>>, class: &Arc<str>) -> Vec<Fetch> {
    let fetches = std::mem::take(&mut *fetches.lock().unwrap_or_else(PoisonError::into_inner));
    fetches.into_iter().map(|fetch| Fetch::new(fetch, Arc::clone(class))).collect()
}

/// What happened since the last call, for Python's logging: when (seconds since 1970), level, text.
#[pyfunction]
pub fn take_log_records() -> Vec<(f64, u8, String)> {
    let seconds = |entry: &log_buffer::Entry| entry.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    log_buffer::take().into_iter().map(|entry| (seconds(&entry), entry.level as u8, entry.text)).collect()
}

#[pymethods]
impl TokenProvider {
    /// What Python asked last had nothing either: ends `fetch` with all that was tried. The next begins anew.
    fn exhaust(&self, fetch: &Fetch, reason: &str) {
        let Some(fetch) = fetch.take() else { return };
        let last = Attempt::new(FALLBACK, Status::Unavailable, reason);
        fetch.answer(
            FALLBACK,
            Err(match &self.source {
                Source::Both(chain, _) => chain.take_back(last),
                Source::Native(_) | Source::Python { .. } => last.into(),
            }),
        );
    }
}

/// Ends the command lines that are being asked for tokens, for a process that ends.
#[pyfunction]
pub fn stop_commands() {
    process::stop_all();
}

/// Raises what goes wrong before anything is asked.
pub fn checked<T>(py: Python<'_>, value: Result<T, crate::error::Error>) -> PyResult<T> {
    value.map_err(|error| errors::raise(py, &error))
}
