//! The fallback when no native link has a token: azure-identity itself, which Python calls.

use std::{
    hash::Hasher,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{
    cache::FetchedToken,
    credential::{ChainedTokenCredential, TokenSource},
    error::{Attempt, Error},
};

/// A chain that can be handed over. Nothing here runs Python: a fetch that finds nothing is given up, so that one of those
/// who wait takes over, and from then on Python makes the fetches, until it finds nothing either.
#[derive(Debug)]
pub struct FallbackChain {
    native: Arc<ChainedTokenCredential>,
    handed_over: AtomicBool,
}

impl FallbackChain {
    /// What Python asks when the native links have nothing.
    pub const FALLBACK: &str = "azure-identity";

    /// Begins with the native links.
    #[must_use]
    pub fn new(native: ChainedTokenCredential) -> Self {
        Self { native: Arc::new(native), handed_over: AtomicBool::new(false) }
    }

    /// The same of other links.
    #[must_use]
    pub fn map(&self, change: impl Fn(Arc<dyn TokenSource>) -> Arc<dyn TokenSource>) -> Self {
        Self::new(self.native.map(change))
    }

    /// Whether fetches are Python's to make.
    #[must_use]
    pub fn handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    /// Python found nothing either: the next fetch begins with the native links again. Gives what to tell those who wait.
    #[must_use]
    pub fn take_back(&self, last: Attempt) -> Error {
        self.handed_over.store(false, Ordering::Release);
        Error::ChainExhausted(self.native.attempts().into_iter().chain([last]).collect())
    }
}

#[async_trait]
impl TokenSource for FallbackChain {
    fn name(&self) -> &'static str {
        self.native.name()
    }

    fn description(&self) -> String {
        self.native.description()
    }

    /// The native links alone: where Python makes no fetches, one that is handed over would be given up again and again.
    fn as_link(&self) -> Option<Arc<dyn TokenSource>> {
        Some(Arc::clone(&self.native) as Arc<_>)
    }

    fn attempts(&self) -> Vec<Attempt> {
        let mut attempts = self.native.attempts();
        if self.handed_over() {
            attempts.push(Attempt::succeeded(Self::FALLBACK));
        }
        attempts
    }

    fn is_shareable(&self) -> bool {
        self.native.is_shareable()
    }

    fn fingerprint(&self, state: &mut dyn Hasher) {
        self.native.fingerprint(state);
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        self.native.fetch(scope, deadline).await
    }

    fn hands_over(&self, error: &Error) -> bool {
        let hands_over = error.lets_chain_continue();
        if hands_over {
            self.handed_over.store(true, Ordering::Release);
        }
        hands_over
    }
}
