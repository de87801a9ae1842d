//! A login that Python waits for.

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

use super::{errors, login::Login, time::duration, tokens::Tokens, wakeup_fd::WakeupFd};
use crate::{
    error::Error,
    login::{self, Fetches},
    platform::{clock::Moment, fork},
};

type LoginFuture = Pin<Box<dyn Future<Output = Result<login::Login, Error>> + Send>>;

/// A login under way. Python waits for it, in its own system calls: a thread that waited in Rust would be killed in the
/// middle of our stack when the interpreter ends, and a greenlet would block all others.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct PendingLogin {
    tokens: Arc<Tokens>,
    scope: Arc<str>,
    future: Mutex<Option<LoginFuture>>,
    fetches: Fetches,
    /// Until when the caller waits.
    deadline: Arc<OnceLock<Moment>>,
    /// The first poll did not find it.
    waited: AtomicBool,
}

impl PendingLogin {
    pub fn new(tokens: Arc<Tokens>, request: login::LoginRequest) -> Self {
        let fetches = Fetches::default();
        let (scope, deadline) = (Arc::clone(&request.scope), Arc::clone(&request.deadline));
        let future = Arc::clone(&tokens.logins).login(request, Arc::clone(&fetches));
        Self {
            tokens,
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
        // Dropping the future takes locks.
        let _guard = fork::guarded();
        self.future = Mutex::default();
    }
}

#[pymethods]
impl PendingLogin {
    /// Return the login, or None: then `wakeup`, if given, becomes readable when the wait `key` ends. Takes no longer than
    /// a look-up in the cache.
    #[pyo3(signature = (wakeup, key))]
    fn poll(&self, py: Python<'_>, wakeup: Option<&WakeupFd>, key: u64) -> PyResult<Option<Py<Login>>> {
        let tokens = &self.tokens.logins.tokens;
        // Before the look-up, so that a token that is replaced in between makes this one old, not new.
        let version = tokens.version();
        let (outcome, ended) = {
            let _guard = fork::guarded();
            let mut slot = self.future();
            let future = slot.as_mut().ok_or_else(|| PyRuntimeError::new_err("this login has ended"))?;
            let waker = wakeup.map_or_else(|| Waker::noop().clone(), |wakeup| wakeup.0.waker(key));
            let outcome = future.as_mut().poll(&mut Context::from_waker(&waker));
            let ended = if outcome.is_ready() { slot.take() } else { None };
            (outcome, ended)
        };
        // Outside the guard: it may hold the last reference to an exception of Python's.
        drop(ended);
        let fetches = std::mem::take(&mut *self.fetches.lock().unwrap_or_else(PoisonError::into_inner));
        for fetch in fetches {
            self.tokens.fetcher.start(fetch);
        }
        match outcome {
            Poll::Pending => {
                self.waited.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Poll::Ready(Ok(login)) => {
                if login.token.from_shared_cache {
                    // Like a cached one: the server may have refused it already.
                    self.waited.store(false, Ordering::Relaxed);
                } else if !self.waited() {
                    tokens.stats.hit();
                }
                self.tokens.remember(py, &self.scope, &login, version).map(Some)
            }
            Poll::Ready(Err(error)) => Err(errors::raise(py, &error)),
        }
    }

    /// The scope of its token.
    #[getter]
    fn scope(&self) -> &str {
        &self.scope
    }

    /// Whether it was waited for: then its token is new.
    #[getter]
    fn waited(&self) -> bool {
        self.waited.load(Ordering::Relaxed)
    }

    /// State for how many seconds the caller waits, before the first poll.
    fn set_timeout(&self, timeout: f64) -> PyResult<()> {
        let deadline = self.tokens.logins.tokens.now().after(duration("timeout", timeout)?);
        let _ = self.deadline.set(deadline); // Err: it is set already
        Ok(())
    }

    /// Return the exception for a caller whose timeout has passed.
    fn timed_out<'py>(&self, py: Python<'py>, timeout: f64) -> PyResult<Bound<'py, PyAny>> {
        errors::exception(py, &self.tokens.logins.tokens.too_late(&self.scope, duration("timeout", timeout)?))
    }
}
