//! A fetch that Python makes, with a credential object of its own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use pyo3::{
    exceptions::{PyBaseException, PyRuntimeError, PyValueError},
    prelude::*,
};

use super::errors;
use crate::{
    cache::{self, FetchedToken},
    secret::Secret,
};

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

fn moment(seconds: f64) -> PyResult<SystemTime> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since))
        .ok_or_else(|| PyValueError::new_err(format!("{seconds} is no time in seconds since 1970")))
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

    /// The credential gave a token.
    #[pyo3(signature = (token, expires_on, refresh_on=None))]
    fn complete(&self, token: String, expires_on: f64, refresh_on: Option<f64>) -> PyResult<()> {
        let fetched = FetchedToken {
            secret: Secret::from(token),
            expires_at: moment(expires_on)?,
            refresh_at: refresh_on.map(moment).transpose()?,
        };
        if let Some(fetch) = self.take() {
            fetch.answer(&self.source, Ok(fetched));
        }
        Ok(())
    }

    /// Nobody will ask: one of those who wait takes over.
    fn abandon(&self) {
        drop(self.take());
    }

    /// The credential raised; `message` says it in words.
    fn fail(&self, exception: &Bound<'_, PyBaseException>, message: String) {
        if let Some(fetch) = self.take() {
            fetch.answer(&self.source, Err(errors::foreign(exception, message)));
        }
    }
}
