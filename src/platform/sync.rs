//! The locks, atomics and threads of the cache, of logins and of the runtime: the standard library's.
//!
//! With `cfg(shuttle)`, which only `make interleavings` sets, they are shuttle's. A test then runs thousands of times, and
//! at each of their operations another thread may go on, as a random scheduler decides; threads that all wait for each
//! other, as after a wake-up that was lost, end the test. Shuttle and not loom: loom tries every interleaving, but knows
//! only code that is made of its own primitives throughout, and futures-channel's and futures-util's are not.

#[cfg(not(all(test, shuttle)))]
pub use std::{
    sync::{Mutex, MutexGuard, atomic::AtomicU64},
    thread,
};

#[cfg(all(test, shuttle))]
pub use shuttle::{
    sync::{Mutex, MutexGuard, atomic::AtomicU64},
    thread,
};
