//! Waiting without the GIL, and not coming back for it too late.
//!
//! A thread that asks for the GIL after the interpreter has begun to end is killed by CPython in the middle of our stack,
//! which takes the process down. Threads that still wait for a login then can only be daemon threads: the others have been
//! joined before. So `atexit` closes a door: who has not passed it stays outside for ever, which is what CPython itself does
//! to daemon threads from 3.14 on, and who is on the way in is waited for.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use pyo3::prelude::*;

use crate::fork;

/// The longest that a signal may have to wait for Python to handle it.
pub const SLICE: Duration = Duration::from_millis(100);

static CLOSED: AtomicBool = AtomicBool::new(false);
static CLOSED_BY: OnceLock<ThreadId> = OnceLock::new();
/// Threads between the door and the GIL; the upper half holds the fork generation, for a child has none of its parent's.
static ENTERING: AtomicU64 = AtomicU64::new(0);

fn entering(change: impl Fn(u64) -> u64) {
    let generation = u64::from(fork::generation()) << 32;
    let _ = ENTERING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |counted| {
        let count = if counted >> 32 << 32 == generation { counted & u64::from(u32::MAX) } else { 0 };
        Some(generation | change(count))
    });
}

fn anyone_entering() -> bool {
    let counted = ENTERING.load(Ordering::SeqCst);
    counted >> 32 == u64::from(fork::generation()) && counted & u64::from(u32::MAX) != 0
}

/// Sleeps without the GIL until this thread is unparked, at most for `limit`.
pub fn park(py: Python<'_>, limit: Duration) {
    py.detach(|| {
        thread::park_timeout(limit);
        entering(|count| count + 1);
        if CLOSED.load(Ordering::SeqCst) && CLOSED_BY.get() != Some(&thread::current().id()) {
            entering(|count| count.saturating_sub(1));
            loop {
                thread::park();
            }
        }
    });
    entering(|count| count.saturating_sub(1));
}

#[pyfunction]
fn _close(py: Python<'_>) {
    let _ = CLOSED_BY.set(thread::current().id());
    CLOSED.store(true, Ordering::SeqCst);
    let patience = Instant::now() + Duration::from_secs(1);
    while anyone_entering() && Instant::now() < patience {
        py.detach(|| thread::sleep(Duration::from_millis(1)));
    }
}

pub fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let close = wrap_pyfunction!(_close, module)?;
    module.py().import("atexit")?.call_method1("register", (close,))?;
    Ok(())
}
