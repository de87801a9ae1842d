//! A fetch that Python makes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use pyo3::{
    exceptions::{PyBaseException, PyRuntimeError},
    prelude::*,
};

use super::errors;
use crate::{
    cache::{self, FetchedToken},
    credential::expiry,
    platform::{limits::LIFE_AT_MOST, secret::Secret},
};

/// How long a token is used if its expiry is unknown.
const UNKNOWN_LIFE: Duration = Duration::from_secs(60);

/// The right and the duty to call a credential once. If it is dropped unanswered, another waiter takes over.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct Fetch {
    fetch: Mutex<Option<cache::Fetch>>,
    /// The credential's class.
    source: Arc<str>,
}

impl Fetch {
    pub fn new(fetch: cache::Fetch, source: Arc<str>) -> Self {
        Self { fetch: Mutex::new(Some(fetch)), source }
    }

    /// Take the fetch out; `None` if it has been answered or abandoned.
    pub fn take(&self) -> Option<cache::Fetch> {
        self.fetch.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A date from seconds since 1970; `None` for 0, -1, `sys.maxsize` and the like, which are not dates.
fn date(seconds: f64) -> Option<SystemTime> {
    let since = Duration::try_from_secs_f64(seconds).ok().filter(|since| !since.is_zero())?;
    let date = SystemTime::UNIX_EPOCH.checked_add(since)?;
    (date <= SystemTime::now() + LIFE_AT_MOST).then_some(date)
}

/// When a token expires whose credential states no date.
fn guessed_expiry(token: &str, stated: f64) -> SystemTime {
    let never = stated > 0.0;
    let guessed = || SystemTime::now() + if never { LIFE_AT_MOST } else { UNKNOWN_LIFE };
    expiry::of_token(token).unwrap_or_else(guessed)
}

#[pymethods]
impl Fetch {
    #[getter]
    fn scope(&self) -> PyResult<String> {
        let fetch = self.fetch.lock().unwrap_or_else(PoisonError::into_inner);
        fetch
            .as_ref()
            .map(|fetch| fetch.scope().to_string())
            .ok_or_else(|| PyRuntimeError::new_err("this fetch has been answered"))
    }

    /// Whether it is to be answered yet, and with a token for this scope.
    fn is_for(&self, scope: &str) -> bool {
        let fetch = self.fetch.lock().unwrap_or_else(PoisonError::into_inner);
        fetch.as_ref().is_some_and(|fetch| &**fetch.scope() == scope)
    }

    /// Answer with a token, whatever its dates are, as azure-core does.
    #[pyo3(signature = (token, expires_on, refresh_on=None))]
    fn complete(&self, token: String, expires_on: f64, refresh_on: Option<f64>) {
        let expires_at = date(expires_on).unwrap_or_else(|| guessed_expiry(&token, expires_on));
        let mut fetched = FetchedToken::new(Secret::from(token), expires_at);
        fetched.refresh_at = refresh_on.and_then(date);
        if let Some(fetch) = self.take() {
            fetch.answer(&self.source, Ok(fetched));
        }
    }

    /// Give the fetch up: one of the waiters takes over.
    fn abandon(&self) {
        drop(self.take());
    }

    /// Answer with the exception that the credential raised, and its text.
    fn fail(&self, exception: &Bound<'_, PyBaseException>, message: String) {
        if let Some(fetch) = self.take() {
            fetch.answer(&self.source, Err(errors::external(exception, message)));
        }
    }
}
