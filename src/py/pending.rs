//! A login that has to wait.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use pyo3::{exceptions::PyRuntimeError, prelude::*};

use super::{
    errors,
    login::Login,
    provider::{TokenProvider, duration},
    wakeup_fd::WakeupFd,
};
use crate::{
    error::Error,
    login::{self, Fetches},
    platform::{clock::Moment, fork},
};

type LoginFuture = Pin<Box<dyn Future<Output = Result<login::Login, Error>> + Send>>;

/// A login under way. It is Python that waits, in its own system calls: a thread that waited in here would be killed in the
/// middle of our stack when the interpreter ends, and a greenlet would hold up all others.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct PendingLogin {
    provider: Py<TokenProvider>,
    scope: Arc<str>,
    future: Mutex<Option<LoginFuture>>,
    fetches: Fetches,
    /// Until when the caller waits.
    deadline: Arc<OnceLock<Moment>>,
    /// It was not there at the first look.
    waited: AtomicBool,
}

impl PendingLogin {
    pub fn new(provider: Py<TokenProvider>, request: login::LoginRequest) -> Self {
        let fetches = Fetches::default();
        let (scope, deadline) = (Arc::clone(&request.scope), Arc::clone(&request.deadline));
        let future = Arc::clone(&provider.get().logins).login(request, Arc::clone(&fetches));
        Self {
            provider,
            scope,
            future: Mutex::new(Some(Box::pin(future))),
            fetches,
            deadline,
            waited: AtomicBool::new(false),
        }
    }

    fn future(&self) -> std::sync::MutexGuard<'_, Option<LoginFuture>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PendingLogin {
    fn drop(&mut self) {
        // Its parts take locks as they go.
        let _guard = fork::guarded();
        self.future = Mutex::default();
    }
}

#[pymethods]
impl PendingLogin {
    /// The login, or None: then `wakeup`, if there is one, becomes readable when the wait `key` is over. Takes no longer than a look into the cache.
    #[pyo3(signature = (wakeup, key))]
    fn poll(&self, py: Python<'_>, wakeup: Option<&WakeupFd>, key: u64) -> PyResult<Option<Py<Login>>> {
        let provider = self.provider.get();
        // Before the look, so that a token that is replaced in between makes this one old, not new.
        let version = provider.logins.tokens.version();
        let (outcome, ended) = {
            let _guard = fork::guarded();
            let mut slot = self.future();
            let future = slot.as_mut().ok_or_else(|| PyRuntimeError::new_err("this login has ended"))?;
            let waker = wakeup.map_or_else(|| Waker::noop().clone(), |wakeup| wakeup.waker(key));
            let outcome = future.as_mut().poll(&mut Context::from_waker(&waker));
            let ended = if outcome.is_ready() { slot.take() } else { None };
            (outcome, ended)
        };
        // Outside the guard: it may hold the last reference to an exception of Python's.
        drop(ended);
        let fetches = std::mem::take(&mut *self.fetches.lock().unwrap_or_else(PoisonError::into_inner));
        for fetch in fetches {
            provider.start(fetch);
        }
        match outcome {
            Poll::Pending => {
                self.waited.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Poll::Ready(Ok(login)) => {
                if login.token.from_shared_cache {
                    // As good as a cached one: the server may have refused it to others.
                    self.waited.store(false, Ordering::Relaxed);
                } else if !self.waited() {
                    provider.logins.tokens.stats.hit();
                }
                provider.remember(py, &self.scope, &login, version).map(Some)
            }
            Poll::Ready(Err(error)) => Err(errors::raise(py, &error)),
        }
    }

    /// Whether it had to be waited for: then its token was new, or as good as new.
    #[getter]
    fn waited(&self) -> bool {
        self.waited.load(Ordering::Relaxed)
    }

    /// Says for how many seconds the caller waits, before the first look.
    fn set_timeout(&self, timeout: f64) -> PyResult<()> {
        let deadline = self.provider.get().logins.tokens.now().after(duration(timeout)?);
        let _ = self.deadline.set(deadline); // Err: said before
        Ok(())
    }

    /// What to raise when the caller's time is over.
    fn timed_out<'py>(&self, py: Python<'py>, timeout: f64) -> PyResult<Bound<'py, PyAny>> {
        errors::exception(py, &self.provider.get().logins.tokens.too_late(&self.scope, duration(timeout)?))
    }
}
