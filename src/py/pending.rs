//! A login that has to wait, and the two ways of waiting: a thread's and an event loop's.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use pyo3::{
    exceptions::{PyBaseException, PyRuntimeError},
    prelude::*,
};

#[cfg(unix)]
use super::bell::Bell;
use super::{errors, exit, provider::TokenProvider};
use crate::{
    error::Error,
    fork,
    login::{self, Fetches},
};

type LoginFuture = Pin<Box<dyn Future<Output = Result<login::Login, Error>> + Send>>;

/// A login under way. Polled with the GIL held, always: a poll takes no longer than a look into the cache.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct PendingLogin {
    provider: Py<TokenProvider>,
    scope: Arc<str>,
    future: Mutex<Option<LoginFuture>>,
    fetches: Fetches,
}

impl Drop for PendingLogin {
    fn drop(&mut self) {
        // The future's own parts take locks as they go.
        let _guard = fork::guarded();
        self.future = Mutex::default();
    }
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl PendingLogin {
    pub fn new(provider: Py<TokenProvider>, request: login::LoginRequest) -> Self {
        let fetches = Fetches::default();
        let scope = Arc::clone(&request.scope);
        let future = Arc::clone(&provider.get().logins).login(request, Arc::clone(&fetches));
        Self { provider, scope, future: Mutex::new(Some(Box::pin(future))), fetches }
    }

    /// One look; begins the fetches that it called for.
    fn advance(&self, py: Python<'_>, waker: &Waker, blocking: bool) -> PyResult<Option<Py<super::provider::Login>>> {
        let guard = fork::guarded();
        let mut slot = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let future = slot.as_mut().ok_or_else(|| PyRuntimeError::new_err("this login has ended"))?;
        // Before the poll, so that a token that is replaced in between makes this one old, not new.
        let edition = self.provider.get().logins.edition();
        let outcome = future.as_mut().poll(&mut Context::from_waker(waker));
        if outcome.is_ready() {
            *slot = None;
        }
        drop(slot);
        drop(guard);
        let fetches = std::mem::take(&mut *self.fetches.lock().unwrap_or_else(PoisonError::into_inner));
        let provider = self.provider.get();
        for fetch in fetches {
            provider.start(py, fetch, blocking)?;
        }
        match outcome {
            Poll::Pending => Ok(None),
            Poll::Ready(Ok(login)) => provider.face(py, &self.scope, &login, edition).map(Some),
            Poll::Ready(Err(error)) => Err(errors::raise(py, &error)),
        }
    }

    /// Waits on this thread, for `timeout` at most, letting signals through.
    pub fn wait_blocking(&self, py: Python<'_>, timeout: Duration) -> PyResult<Py<super::provider::Login>> {
        let deadline = Instant::now() + timeout;
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            if let Some(login) = self.advance(py, &waker, true)? {
                return Ok(login);
            }
            py.check_signals()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(errors::raise(py, &Error::TimedOut(timeout)));
            }
            exit::park(py, left.min(exit::SLICE));
        }
    }
}

#[pymethods]
impl PendingLogin {
    /// The login, or None: then the bell will ring for `key`.
    #[cfg(unix)]
    fn poll(&self, py: Python<'_>, bell: &Bell, key: u64) -> PyResult<Option<Py<super::provider::Login>>> {
        self.advance(py, &bell.waker(key), false)
    }

    /// What to raise when the caller's time is over.
    #[staticmethod]
    fn timed_out(py: Python<'_>, timeout: f64) -> PyResult<Py<PyBaseException>> {
        Ok(errors::raise(py, &Error::TimedOut(super::provider::patience(timeout)?)).into_value(py))
    }

    /// Waits on this thread.
    fn wait(&self, py: Python<'_>, timeout: f64) -> PyResult<Py<super::provider::Login>> {
        self.wait_blocking(py, super::provider::patience(timeout)?)
    }
}
