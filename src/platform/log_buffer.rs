//! What happened, for Python's logging.
//!
//! A fetch ends on a thread that may not touch Python, often while nobody waits for it. So its story is written down here,
//! and whoever asks for a login next hands it to `logging`. Nothing here is secret: texts come from [`crate::error`] and from
//! credentials' public names.

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

/// How much it matters; the numbers are those of Python's logging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For who looks for a fault.
    Debug = 10,
    /// As it should be.
    Info = 20,
    /// Something failed that is tried again, or that a caller hears of.
    Warning = 30,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: SystemTime,
    /// How much it matters.
    pub level: Level,
    /// What, in words.
    pub text: String,
    generation: u32,
}

/// Nobody may come to read for a long time.
const AT_MOST: usize = 1000;

static ENTRIES: Mutex<VecDeque<Entry>> = Mutex::new(VecDeque::new());
static WAITING: AtomicBool = AtomicBool::new(false);

fn entries() -> MutexGuard<'static, VecDeque<Entry>> {
    ENTRIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes something down.
pub fn record(level: Level, text: &impl fmt::Display) {
    let entry = Entry { at: SystemTime::now(), level, text: text.to_string(), generation: fork::generation() };
    let _guard = fork::guarded();
    let mut entries = entries();
    if entries.len() == AT_MOST {
        entries.pop_front();
    }
    entries.push_back(entry);
    WAITING.store(true, Ordering::Release);
}

/// Whether there is something to read.
#[must_use]
pub fn is_waiting() -> bool {
    WAITING.load(Ordering::Relaxed)
}

/// What this process has written down since the last call. A parent's own is its own to read.
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
        for number in 0..=AT_MOST {
            record(Level::Debug, &format_args!("journal-test {number}"));
        }
        assert!(is_waiting());
        let texts: Vec<_> = take().into_iter().filter(|entry| entry.text.starts_with("journal-test")).collect();
        assert!(texts.len() <= AT_MOST && texts.last().is_some_and(|entry| entry.text.ends_with(" 1000")), "{texts:?}");
        assert!(take().iter().all(|entry| !entry.text.starts_with("journal-test")));
    }
}
