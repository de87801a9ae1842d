//! A fetch that Python makes, with a credential object of its own.

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
    platform::secret::Secret,
};

/// How long a token is used that says nowhere when it expires.
const UNKNOWN_LIFE: Duration = Duration::from_secs(60);
/// A date that is further away is none: credential objects say `sys.maxsize` for "never".
const LIFE_AT_MOST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The right and the duty to call a credential once. Dropped unanswered, it passes to somebody else who waits.
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

    /// None if it has been answered, or abandoned because its event loop had ended.
    pub fn take(&self) -> Option<cache::Fetch> {
        self.fetch.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A date in seconds since 1970; `None` for what is not one, such as 0, -1 or `sys.maxsize`.
fn date(seconds: f64) -> Option<SystemTime> {
    let since = Duration::try_from_secs_f64(seconds).ok().filter(|since| !since.is_zero())?;
    let date = SystemTime::UNIX_EPOCH.checked_add(since)?;
    (date <= SystemTime::now() + LIFE_AT_MOST).then_some(date)
}

/// When a token expires whose credential does not say so.
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

    /// The credential gave a token. Like azure-core, this takes one whatever its dates are.
    #[pyo3(signature = (token, expires_on, refresh_on=None))]
    fn complete(&self, token: String, expires_on: f64, refresh_on: Option<f64>) {
        let fetched = FetchedToken {
            expires_at: date(expires_on).unwrap_or_else(|| guessed_expiry(&token, expires_on)),
            refresh_at: refresh_on.and_then(date),
            secret: Secret::from(token),
        };
        if let Some(fetch) = self.take() {
            fetch.answer(&self.source, Ok(fetched));
        }
    }

    /// Nobody will ask: one of those who wait takes over.
    fn abandon(&self) {
        drop(self.take());
    }

    /// The credential raised; `message` says it in words.
    fn fail(&self, exception: &Bound<'_, PyBaseException>, message: String) {
        if let Some(fetch) = self.take() {
            fetch.answer(&self.source, Err(errors::external(exception, message)));
        }
    }
}
