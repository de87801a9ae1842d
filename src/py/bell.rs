//! Waking a thread or an event loop of Python's from a thread that may not touch Python.

use std::{
    io::{Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

use pyo3::prelude::*;

/// A file descriptor that becomes readable when one of the waits that it serves is over. One serves a whole event loop.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct Bell {
    reader: Mutex<Option<UnixStream>>,
    rope: Arc<Rope>,
}

/// The end that is pulled.
struct Rope {
    writer: UnixStream,
    rung: Mutex<Vec<u64>>,
}

struct Ringer {
    rope: Arc<Rope>,
    key: u64,
}

impl Wake for Ringer {
    fn wake(self: Arc<Self>) {
        let mut rung = self.rope.rung.lock().unwrap_or_else(PoisonError::into_inner);
        rung.push(self.key);
        // Err: the buffer is full of earlier rings, which wake the loop as well.
        let _ = (&self.rope.writer).write(&[1]);
    }
}

impl Bell {
    fn reader(&self) -> MutexGuard<'_, Option<UnixStream>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rings for the wait that the loop knows under `key`.
    pub fn waker(&self, key: u64) -> Waker {
        Waker::from(Arc::new(Ringer { rope: Arc::clone(&self.rope), key }))
    }
}

#[pymethods]
impl Bell {
    #[new]
    fn new() -> PyResult<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader: Mutex::new(Some(reader)), rope: Arc::new(Rope { writer, rung: Mutex::default() }) })
    }

    /// The descriptor, or -1 once it is closed.
    fn fileno(&self) -> RawFd {
        self.reader().as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    fn close(&self) {
        drop(self.reader().take());
    }

    /// Keys of the waits that are over.
    fn drain(&self) -> Vec<u64> {
        let _guard = crate::platform::fork::guarded();
        if let Some(reader) = self.reader().as_mut() {
            while matches!(reader.read(&mut [0; 64]), Ok(64)) {}
        }
        std::mem::take(&mut *self.rope.rung.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
