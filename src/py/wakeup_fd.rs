//! `WakeupFd`: wakes Python's threads and event loops.

use pyo3::prelude::*;

use crate::platform::wakeup::{Turns, Wakeup};

/// The threads that wait for a login.
static THREADS: Turns = Turns::new();

/// A socket that becomes readable when one of the waits that it serves ends. One serves a whole event loop.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct WakeupFd(pub Wakeup);

#[pymethods]
impl WakeupFd {
    /// For an event loop, which is woken at once.
    #[staticmethod]
    fn for_loop() -> PyResult<Self> {
        Ok(Self(Wakeup::for_loop()?))
    }

    /// For one thread. Of many threads, a few are woken at a time.
    #[staticmethod]
    fn for_thread() -> PyResult<Self> {
        Ok(Self(Wakeup::for_thread(&THREADS)?))
    }

    fn fileno(&self) -> i64 {
        self.0.number()
    }

    fn detach(&self) -> i64 {
        self.0.detach()
    }

    fn close(&self) {
        self.0.close();
    }

    fn drain(&self) -> Vec<u64> {
        self.0.drain()
    }
}
