//! Log records, kept until Python's `logging` takes them.
//!
//! A fetch ends on a thread that may not touch Python, often while no caller waits for it. Its records are kept here, and the
//! next caller that asks for a login hands them to `logging`. Nothing here is secret: texts come from [`crate::error`] and
//! from credentials' public names.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use super::fork;

/// Severity; the numbers are those of Python's logging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Details for troubleshooting.
    Debug = 10,
    /// Normal operation.
    Info = 20,
    /// Something failed; it is tried again, or its caller gets the error.
    Warning = 30,
}

/// One log record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was added.
    pub at: SystemTime,
    /// Its severity.
    pub level: Level,
    /// The message.
    pub text: String,
    generation: u32,
}

/// Records kept at most: a process may not ask for a login for a long time.
const CAPACITY: usize = 1000;

static ENTRIES: Mutex<VecDeque<Entry>> = Mutex::new(VecDeque::new());
static WAITING: AtomicBool = AtomicBool::new(false);

fn entries() -> MutexGuard<'static, VecDeque<Entry>> {
    ENTRIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Add a record.
pub fn record(level: Level, text: &impl fmt::Display) {
    let entry = Entry { at: SystemTime::now(), level, text: text.to_string(), generation: fork::generation() };
    let _guard = fork::guarded();
    let mut entries = entries();
    if entries.len() == CAPACITY {
        entries.pop_front();
    }
    entries.push_back(entry);
    WAITING.store(true, Ordering::Release);
}

/// Whether there are records to take.
#[must_use]
pub fn is_waiting() -> bool {
    WAITING.load(Ordering::Relaxed)
}

/// Take the records that this process has added since the last call. A forked child does not take its parent's.
#[must_use]
pub fn take() -> Vec<Entry> {
    let _guard = fork::guarded();
    let mut entries = entries();
    WAITING.store(false, Ordering::Release);
    let generation = fork::generation();
    entries.drain(..).filter(|entry| entry.generation == generation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_once_in_order_and_never_grows_without_end() {
        for number in 0..=CAPACITY {
            record(Level::Debug, &format_args!("log-buffer-test {number}"));
        }
        assert!(is_waiting());
        let texts: Vec<_> = take().into_iter().filter(|entry| entry.text.starts_with("log-buffer-test")).collect();
        assert!(
            texts.len() <= CAPACITY && texts.last().is_some_and(|entry| entry.text.ends_with(" 1000")),
            "{texts:?}"
        );
        assert!(take().iter().all(|entry| !entry.text.starts_with("log-buffer-test")));
    }
}
