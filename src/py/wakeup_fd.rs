//! Wakes Python's threads and event loops from threads that must not touch Python.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

use pyo3::prelude::*;

use crate::platform::{
    fork,
    socket::{self, PairedSocket},
};

/// A socket that becomes readable when one of the waits that it serves is over. One serves a whole event loop.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct WakeupFd {
    reader: Mutex<Option<PairedSocket>>,
    writer: Arc<Writer>,
}

/// The engine's end, which makes the descriptor readable.
struct Writer(Mutex<WriterState>);

struct WriterState {
    /// None once the wait has ended: an exception keeps the frames that refer to it for as long as its handler likes.
    socket: Option<PairedSocket>,
    /// Keys of the waits that are over and that [`WakeupFd::drain`] has not returned yet.
    woken: Vec<u64>,
}

impl Writer {
    fn state(&self) -> MutexGuard<'_, WriterState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one wait.
struct KeyWaker {
    writer: Arc<Writer>,
    key: u64,
}

impl Wake for KeyWaker {
    fn wake(self: Arc<Self>) {
        let _guard = fork::guarded();
        let mut state = self.writer.state();
        state.woken.push(self.key);
        if let Some(socket) = &mut state.socket {
            // Err: the buffer is full of earlier bytes, which wake the reader as well.
            let _ = socket.write(&[1]);
        }
    }
}

impl WakeupFd {
    fn reader(&self) -> MutexGuard<'_, Option<PairedSocket>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the wait that Python knows under `key`.
    pub fn waker(&self, key: u64) -> Waker {
        Waker::from(Arc::new(KeyWaker { writer: Arc::clone(&self.writer), key }))
    }
}

#[pymethods]
impl WakeupFd {
    #[new]
    fn new() -> PyResult<Self> {
        let (reader, socket) = socket::pair()?;
        let writer = Arc::new(Writer(Mutex::new(WriterState { socket: Some(socket), woken: Vec::new() })));
        Ok(Self { reader: Mutex::new(Some(reader)), writer })
    }

    /// Its number, or -1 once it is closed or detached.
    fn fileno(&self) -> i64 {
        self.reader().as_ref().map_or(-1, socket::number)
    }

    /// Its number, for a caller who reads it, and closes it.
    fn detach(&self) -> i64 {
        self.reader().take().map_or(-1, socket::release)
    }

    /// Close both ends.
    fn close(&self) {
        let _guard = fork::guarded();
        drop(self.reader().take());
        drop(self.writer.state().socket.take());
    }

    /// Keys of the waits that are over.
    fn drain(&self) -> Vec<u64> {
        let _guard = fork::guarded();
        if let Some(reader) = self.reader().as_mut() {
            while matches!(reader.read(&mut [0; 64]), Ok(64)) {}
        }
        std::mem::take(&mut self.writer.state().woken)
    }
}
