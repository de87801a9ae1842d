//! What is asked when the native links have nothing: azure-identity itself, by Python.

use std::{
    hash::Hasher,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{
    cache::FetchedToken,
    credential::{ChainedTokenCredential, TokenSource},
    error::Error,
    platform::fork,
};

/// A chain that can be handed over. Nothing here runs Python: a fetch that finds nothing is given up, so that one of those
/// who wait takes over, and from then on Python makes the fetches, until it finds nothing either.
#[derive(Debug)]
pub struct FallbackChain {
    native: ChainedTokenCredential,
    handed_over: AtomicBool,
    /// What the native links said last.
    found_nothing: Mutex<Option<Error>>,
}

impl FallbackChain {
    /// Begins with the native links.
    #[must_use]
    pub const fn new(native: ChainedTokenCredential) -> Self {
        Self { native, handed_over: AtomicBool::new(false), found_nothing: Mutex::new(None) }
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
    pub fn take_back(&self, last: Error) -> Error {
        self.handed_over.store(false, Ordering::Release);
        let _guard = fork::guarded();
        let attempts = self.found_nothing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match attempts {
            Some(Error::ChainExhausted(attempts)) => {
                Error::ChainExhausted(attempts.iter().cloned().chain([last]).collect())
            }
            _ => Error::ChainExhausted([last].into()),
        }
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

    fn in_tenant(&self, tenant_id: &str, allowed: bool) -> Option<Arc<dyn TokenSource>> {
        self.native.in_tenant(tenant_id, allowed)
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
        let Error::ChainExhausted(attempts) = error else { return false };
        if !attempts.iter().all(Error::lets_chain_continue) {
            return false;
        }
        *self.found_nothing.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        self.handed_over.store(true, Ordering::Release);
        true
    }
}
