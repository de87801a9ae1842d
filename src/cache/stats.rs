//! What a cache did so far, for those who watch over programs.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that only grow. In a forked child they go on from its parent's.
#[derive(Debug, Default)]
pub struct Stats {
    requests: AtomicU64,
    hits: AtomicU64,
    refreshes: AtomicU64,
    failures: AtomicU64,
    refusals: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Times that the identity service was asked.
    pub requests: u64,
    /// Logins that a cached token served.
    pub hits: u64,
    /// Tokens that took the place of another.
    pub refreshes: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Times that a server refused a cached token.
    pub refusals: u64,
}

impl Stats {
    pub(super) fn requested(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A login was served from the cache.
    pub fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refreshed(&self) {
        self.refreshes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// What they stand at.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            requests: read(&self.requests),
            hits: read(&self.hits),
            refreshes: read(&self.refreshes),
            failures: read(&self.failures),
            refusals: read(&self.refusals),
        }
    }
}
