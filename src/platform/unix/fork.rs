//! Surviving `fork`.
//!
//! A child process has one thread: a lock that another thread holds at the fork stays locked in the child for ever, and a
//! fetch that another thread makes is never answered there. So:
//!
//! - [`guarded`] marks every section that holds one of our locks. Such sections are short and wait for nothing, least of all
//!   for the GIL; the *prepare* handler waits until none is running, and lets none begin until the fork is done. The
//!   fetching thread is inside one whenever it is not parked, because other people's code has locks too: on first use,
//!   and in the standard library (capturing a backtrace takes one).
//! - [`generation`] counts the forks between this process and the first one. What belongs to an older generation (flights,
//!   the runtime) is forgotten, never dropped or waited for. Tokens stay valid.

use std::{
    cell::{Cell, RefCell},
    sync::{
        RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

static GENERATION: AtomicU32 = AtomicU32::new(0);
static GATE: RwLock<()> = RwLock::new(());

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// The gate, held by the forking thread from the prepare handler to the parent or child handler.
    static CLOSED: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// How many forks lie between the first process that loaded us and this one.
#[must_use]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// While this lives, no fork happens. Nests.
#[derive(Debug)]
pub struct Guard(Option<RwLockReadGuard<'static, ()>>);

/// Enters a section that holds locks. It must be short, and wait for nothing but those locks.
#[must_use]
pub fn guarded() -> Guard {
    let depth = DEPTH.get();
    DEPTH.set(depth + 1);
    // A second read lock on one thread would deadlock with a fork that waits in between.
    Guard((depth == 0).then(|| GATE.read().unwrap_or_else(std::sync::PoisonError::into_inner)))
}

impl Drop for Guard {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        drop(self.0.take());
    }
}

extern "C" fn prepare() {
    if DEPTH.get() > 0 {
        // A section of ours starts a command line; that child becomes another program at once.
        return;
    }
    // Bounded: a section that reads a file may hang with the file. Better a child at risk than a parent that stands still.
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match GATE.try_write() {
            Ok(closed) => return CLOSED.set(Some(closed)),
            Err(TryLockError::Poisoned(poisoned)) => return CLOSED.set(Some(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(Duration::from_micros(50)),
            Err(TryLockError::WouldBlock) => return,
        }
    }
}

extern "C" fn in_parent() {
    CLOSED.take();
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    CLOSED.take();
}

/// Registers the handlers, once per process family; later calls do nothing.
#[allow(unsafe_code)]
pub fn install() {
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: the handlers are plain functions that live as long as this library, which Python never unloads. They
        // run on the forking thread, outside any signal handler of ours, touch only the statics above, and cannot unwind.
        // A failure (no memory for the list of handlers) leaves forked children as unsafe as without us.
        let _ = unsafe { libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_nest_and_a_fork_waits_for_the_outermost() {
        let outer = guarded();
        let inner = guarded();
        let forking = std::thread::spawn(|| {
            prepare();
            // Not `in_child`: the tests beside this one would lose what belongs to their process.
            in_parent();
        });
        drop(inner);
        assert!(GATE.try_write().is_err(), "the outer section still holds the gate");
        drop(outer);
        assert!(forking.join().is_ok());
    }
}
