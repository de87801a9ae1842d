//! Counters of a cache's operation, for monitoring.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that only grow. A forked child continues its parent's.
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
    /// Requests to the identity service or the credential object.
    pub requests: u64,
    /// Logins that a cached token served.
    pub hits: u64,
    /// Tokens that replaced another.
    pub refreshes: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Cached tokens that a server refused.
    pub refusals: u64,
}

impl Stats {
    pub(super) fn requested(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Count a login that the cache served.
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

    /// Read the counters.
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
