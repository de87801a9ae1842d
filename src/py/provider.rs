//! `TokenProvider`: a credential and its tokens.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::PyString,
};

use super::{errors, fetch::Fetch, pending::PendingLogin};
use crate::{
    cache::{self, policy},
    clock::SystemClock,
    credential::{self, TokenSource},
    login::{self, LoginRequest, Logins},
};

/// User and access token for one new connection.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct Login {
    #[pyo3(get)]
    user: Option<Py<PyString>>,
    #[pyo3(get)]
    password: Py<PyString>,
    /// Seconds since 1970.
    #[pyo3(get)]
    expires_on: u64,
}

#[pymethods]
impl Login {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let user = match &self.user {
            Some(user) => user.bind(py).repr()?.to_string(),
            None => "None".to_owned(),
        };
        Ok(format!("Login(user={user}, password=****, expires_on={})", self.expires_on))
    }

    #[allow(clippy::unused_self, reason = "Python calls it on an object")]
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a Login holds an access token and cannot be pickled; ask for a new one in each process",
        ))
    }
}

/// Where a provider's tokens come from.
enum Source {
    Native(Arc<dyn TokenSource>),
    /// A credential object of Python's, which is called by Python: nothing here runs code of others while we are on the
    /// stack. These are the fetches that it has to make.
    Python(Mutex<Vec<cache::Fetch>>),
}

/// The tokens of one credential.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct TokenProvider {
    pub logins: Arc<Logins>,
    source: Source,
    /// Logins as Python has them, so that a cached one costs no copy of its token. Locked with the GIL held only, so that a
    /// fork finds it free.
    faces: Mutex<Vec<Face>>,
}

/// A login's Python object, good without a further look until its token is due for renewal or replaced.
struct Face {
    scope: Box<str>,
    user_known: bool,
    edition: u64,
    fresh_until: SystemTime,
    login: Py<Login>,
}

/// More than a credential has scopes in practice; beyond it the oldest is made again when needed.
const FACES: usize = 8;

impl TokenProvider {
    pub fn native(source: impl TokenSource + 'static) -> Self {
        Self::new(Source::Native(Arc::new(source)))
    }

    fn new(source: Source) -> Self {
        Self { logins: Arc::new(Logins::new(Arc::new(SystemClock))), source, faces: Mutex::default() }
    }

    /// The native credential, for a chain to hold.
    pub fn source(&self) -> Option<Arc<dyn TokenSource>> {
        match &self.source {
            Source::Native(source) => Some(Arc::clone(source)),
            Source::Python(_) => None,
        }
    }

    /// Sees to it that a fetch is made.
    pub fn start(&self, fetch: cache::Fetch) {
        match &self.source {
            Source::Native(source) => credential::start(fetch, Arc::clone(source)),
            Source::Python(waiting) => waiting.lock().unwrap_or_else(PoisonError::into_inner).push(fetch),
        }
    }

    /// Makes the Python object of a login, and keeps it.
    pub fn face(&self, py: Python<'_>, scope: &str, login: &login::Login, edition: u64) -> PyResult<Py<Login>> {
        let lifetime = &login.token.lifetime;
        let made = Py::new(
            py,
            Login {
                user: login.user.as_deref().map(|user| PyString::new(py, user).unbind()),
                password: PyString::new(py, login.token.secret.expose()).unbind(),
                expires_on: lifetime.expires_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            },
        )?;
        let user_known = login.user.is_none();
        let face = Face {
            scope: scope.into(),
            user_known,
            edition,
            fresh_until: lifetime.fresh_until(policy::spread()),
            login: made.clone_ref(py),
        };
        let mut faces = self.faces();
        faces.retain(|old| old.user_known != user_known || *old.scope != *scope);
        faces.truncate(FACES - 1);
        faces.insert(0, face);
        Ok(made)
    }

    fn faces(&self) -> MutexGuard<'_, Vec<Face>> {
        self.faces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The login if it is cached.
    fn cached(&self, py: Python<'_>, scope: &str, user_known: bool) -> PyResult<Option<Py<Login>>> {
        let edition = self.logins.edition();
        let faces = self.faces();
        let face = faces.iter().find(|face| face.user_known == user_known && *face.scope == *scope);
        let current = face.filter(|face| face.edition == edition);
        if let Some(fresh) = current.filter(|face| self.logins.now() < face.fresh_until) {
            return Ok(Some(fresh.login.clone_ref(py)));
        }
        let current = current.map(|face| face.login.clone_ref(py));
        drop(faces);
        let Some((login, fetch)) = self.logins.cached(scope, user_known) else { return Ok(None) };
        if let Some(fetch) = fetch {
            self.start(fetch);
        }
        match current {
            Some(face) => Ok(Some(face)),
            None => self.face(py, scope, &login, edition).map(Some),
        }
    }
}

/// A timeout in seconds, as Python says it.
pub fn patience(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err(format!("timeout={seconds}: expected a number of seconds, 0 or more")))
}

#[pymethods]
impl TokenProvider {
    /// The tokens of a credential object that Python calls.
    #[staticmethod]
    fn python() -> Self {
        Self::new(Source::Python(Mutex::default()))
    }

    /// The login if it is cached, else one to wait for.
    #[pyo3(signature = (scope, user_known=false))]
    fn login<'py>(slf: &Bound<'py, Self>, scope: &str, user_known: bool) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(login) = slf.get().cached(py, scope, user_known)? {
            return Ok(login.into_bound(py).into_any());
        }
        let request = LoginRequest { scope: scope.into(), user_known };
        Ok(Bound::new(py, PendingLogin::new(slf.clone().unbind(), request))?.into_any())
    }

    /// What Python has to fetch.
    fn take_fetches(&self) -> Vec<Fetch> {
        match &self.source {
            Source::Native(_) => Vec::new(),
            Source::Python(waiting) => {
                let fetches = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
                fetches.into_iter().map(Fetch::new).collect()
            }
        }
    }
}

/// Raises what goes wrong before anything is asked.
pub fn checked<T>(py: Python<'_>, value: Result<T, crate::error::Error>) -> PyResult<T> {
    value.map_err(|error| errors::raise(py, &error))
}
