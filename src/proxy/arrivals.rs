//! A bounded number of connections whose peers have not yet said what they want.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot::{Receiver, Sender, channel};

/// The connections that wait for their peers.
///
/// When there are too many, the oldest gives way: peers that connect and stay silent cannot keep out those that speak.
#[derive(Debug)]
pub struct Arrivals {
    limit: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By their numbers. Dropping one of these displaces a connection.
    connections: BTreeMap<u64, Sender<()>>,
    next: u64,
}

impl Arrivals {
    /// Creates an empty set for this many connections.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, waiting: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection until the result is dropped.
    #[must_use]
    pub fn add(&self) -> Arrival<'_> {
        let (sender, displaced) = channel();
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.connections.insert(number, sender);
        if waiting.connections.len() > self.limit {
            waiting.connections.pop_first();
        }
        Arrival { arrivals: self, number, displaced }
    }
}

/// A connection among [`Arrivals`].
#[derive(Debug)]
pub struct Arrival<'set> {
    arrivals: &'set Arrivals,
    number: u64,
    displaced: Receiver<()>,
}

impl Arrival<'_> {
    /// Waits until the connection has to give way.
    pub async fn displaced(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.displaced).await;
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.arrivals.lock().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_oldest_gives_way() {
        let arrivals = Arrivals::new(2);
        let mut first = arrivals.add();
        let mut second = arrivals.add();
        assert!(first.displaced().now_or_never().is_none());
        let third = arrivals.add();
        assert!(first.displaced().now_or_never().is_some());
        drop((first, third));
        let _fourth = arrivals.add();
        assert!(second.displaced().now_or_never().is_none());
        let _fifth = arrivals.add();
        assert!(second.displaced().now_or_never().is_some());
    }
}
