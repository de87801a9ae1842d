//! Who makes a credential's fetches: the engine, or Python.

use std::sync::{Arc, Mutex, PoisonError};

use super::fetch::Fetch;
use crate::{
    cache,
    credential::{self, FallbackChain, TokenSource},
    error::{Attempt, Status},
};

/// Where a credential's tokens come from.
#[derive(Clone)]
pub enum Source {
    /// The engine asks for them.
    Native(Arc<dyn TokenSource>),
    /// Python calls a credential object of this class.
    External(Arc<str>),
    /// The engine asks for them; if it finds none, Python asks azure-identity.
    WithFallback(Arc<FallbackChain>),
}

impl Source {
    /// Its native part, for a chain or the proxy to hold.
    pub fn native(&self) -> Option<Arc<dyn TokenSource>> {
        match self {
            Self::Native(source) => Some(Arc::clone(source)),
            Self::WithFallback(chain) => Some(Arc::clone(chain) as Arc<_>),
            Self::External(_) => None,
        }
    }

    /// The same with other native credentials.
    pub fn map(&self, change: impl Fn(Arc<dyn TokenSource>) -> Arc<dyn TokenSource>) -> Self {
        match self {
            Self::Native(source) => Self::Native(change(Arc::clone(source))),
            Self::External(class) => Self::External(Arc::clone(class)),
            Self::WithFallback(chain) => Self::WithFallback(Arc::new(chain.map(change))),
        }
    }
}

/// Starts native fetches, and queues the others until Python takes them: no Python code runs while the engine is on the
/// stack.
pub struct Fetcher {
    pub source: Source,
    queue: Mutex<Vec<cache::Fetch>>,
}

impl Fetcher {
    pub fn new(source: Source) -> Self {
        Self { source, queue: Mutex::default() }
    }

    /// Start a native fetch, or queue one that Python makes.
    pub fn start(&self, fetch: cache::Fetch) {
        match &self.source {
            Source::Native(source) => credential::start(fetch, Arc::clone(source)),
            Source::WithFallback(chain) if !chain.handed_over() => {
                credential::start(fetch, Arc::clone(chain) as Arc<_>);
            }
            Source::External(_) | Source::WithFallback(_) => {
                self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(fetch);
            }
        }
    }

    /// Take the fetches that Python makes.
    pub fn take(&self) -> Vec<Fetch> {
        let name: Arc<str> = match &self.source {
            Source::Native(_) => return Vec::new(),
            Source::External(class) => Arc::clone(class),
            Source::WithFallback(_) => FallbackChain::FALLBACK.into(),
        };
        let fetches = std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner));
        fetches.into_iter().map(|fetch| Fetch::new(fetch, Arc::clone(&name))).collect()
    }

    /// End a fetch for which azure-identity found no token either, with all attempts. The next begins with the native links.
    pub fn exhaust(&self, fetch: cache::Fetch, reason: &str) {
        let last = Attempt::new(FallbackChain::FALLBACK, Status::Unavailable, reason);
        fetch.answer(
            FallbackChain::FALLBACK,
            Err(match &self.source {
                Source::WithFallback(chain) => chain.take_back(last),
                Source::Native(_) | Source::External(_) => last.into(),
            }),
        );
    }
}
