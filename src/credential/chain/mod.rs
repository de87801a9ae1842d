//! Credentials tried one after the other.

mod default_chain;
mod environment;
mod fallback;
mod links;

use std::{
    hash::Hasher,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
pub use default_chain::{DefaultChain, Selection};
pub use environment::EnvironmentCredential;
pub use fallback::FallbackChain;
pub use links::{LINKS, Origin};
use tokio::time::Instant;

use super::{TenantId, TokenSource, in_tenant};
use crate::{
    cache::FetchedToken,
    error::{Attempt, Error, seconds},
    platform::{
        fork,
        log_buffer::{self, Level},
    },
};

const NONE: usize = usize::MAX;

/// Asks each link until one gives a token, and from then on that one alone.
#[derive(Debug)]
pub struct ChainedTokenCredential {
    name: &'static str,
    links: Vec<Arc<dyn TokenSource>>,
    chosen: AtomicUsize,
    /// Of the last search.
    attempts: Mutex<Vec<Attempt>>,
}

impl ChainedTokenCredential {
    /// A chain of the caller's own.
    #[must_use]
    pub fn new(links: Vec<Arc<dyn TokenSource>>) -> Self {
        let links = links.into_iter().map(|link| link.as_link().unwrap_or(link)).collect();
        Self::named("ChainedTokenCredential", links)
    }

    /// A chain that goes by another name, of links that know what they are.
    pub(super) const fn named(name: &'static str, links: Vec<Arc<dyn TokenSource>>) -> Self {
        Self { name, links, chosen: AtomicUsize::new(NONE), attempts: Mutex::new(Vec::new()) }
    }

    /// The same chain of other links.
    #[must_use]
    pub fn map(&self, change: impl Fn(Arc<dyn TokenSource>) -> Arc<dyn TokenSource>) -> Self {
        Self::named(self.name, self.links.iter().map(|link| change(Arc::clone(link))).collect())
    }

    /// Logs the attempts of a link that was asked, chooses it if it gave a token, and adds them to those of the search.
    fn noted(
        &self,
        index: usize,
        outcome: Result<FetchedToken, Error>,
        begun: Instant,
        attempts: &mut Vec<Vec<Attempt>>,
    ) -> Option<FetchedToken> {
        let (chain, link, elapsed) = (self.name, &self.links[index], begun.elapsed());
        let took = seconds(elapsed);
        let (token, of_link) = match outcome {
            Ok(token) => {
                let link = link.name();
                log_buffer::record(Level::Debug, &format_args!("{chain}: {link} gave a token after {took} s"));
                self.chosen.store(index, Ordering::Relaxed);
                (Some(token), vec![Attempt::succeeded(link)])
            }
            Err(error) => {
                log_buffer::record(Level::Debug, &format_args!("{chain}: after {took} s, {error}"));
                (None, error.into_attempts(link.name()))
            }
        };
        // Those of a chain as a link have been measured one by one.
        let measured = |attempt: Attempt| if attempt.elapsed.is_some() { attempt } else { attempt.taking(elapsed) };
        let of_link = of_link.into_iter().map(measured).collect();
        match attempts.get_mut(index) {
            Some(earlier) => *earlier = of_link,
            None => attempts.push(of_link),
        }
        let so_far = attempts.iter().flatten().cloned().collect();
        *self.attempts.lock().unwrap_or_else(PoisonError::into_inner) = so_far;
        token
    }

    fn chosen(&self) -> Option<&Arc<dyn TokenSource>> {
        self.links.get(self.chosen.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl TokenSource for ChainedTokenCredential {
    fn name(&self) -> &'static str {
        self.name
    }

    fn description(&self) -> String {
        match self.chosen() {
            Some(link) => format!("{} ({})", self.name, link.description()),
            None => self.name.to_owned(),
        }
    }

    fn in_tenant(&self, tenant_id: &TenantId, allowed: bool) -> Option<Arc<dyn TokenSource>> {
        Some(Arc::new(self.map(|link| in_tenant(link, tenant_id, allowed))))
    }

    fn attempts(&self) -> Vec<Attempt> {
        let _guard = fork::guarded();
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_shareable(&self) -> bool {
        match self.chosen() {
            Some(link) => link.is_shareable(),
            None => self.links.iter().any(|link| link.is_shareable()),
        }
    }

    fn fingerprint(&self, state: &mut dyn Hasher) {
        for link in &self.links {
            state.write(link.name().as_bytes());
            link.fingerprint(state);
        }
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        if let Some(link) = self.chosen() {
            return link.fetch(scope, deadline).await;
        }
        let mut attempts = Vec::new();
        for (index, link) in self.links.iter().enumerate() {
            let begun = Instant::now();
            let outcome = link.fetch(scope, deadline).await;
            // A link that is set up and fails is a fault to correct, not a reason to log in as somebody else.
            let ends_search = outcome.as_ref().is_err_and(|error| !error.lets_chain_continue());
            if let Some(token) = self.noted(index, outcome, begun, &mut attempts) {
                return Ok(token);
            }
            if ends_search {
                return Err(exhausted(attempts));
            }
        }
        for (index, link) in self.links.iter().enumerate() {
            let begun = Instant::now();
            if let Some(outcome) = link.fetch_late(scope, deadline).await
                && let Some(token) = self.noted(index, outcome, begun, &mut attempts)
            {
                return Ok(token);
            }
        }
        Err(exhausted(attempts))
    }
}

fn exhausted(attempts: Vec<Vec<Attempt>>) -> Error {
    Error::ChainExhausted(attempts.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::AtomicU32,
        time::{Duration, SystemTime},
    };

    use futures_util::FutureExt;

    use super::*;
    use crate::error::Status;

    #[derive(Debug)]
    struct Link {
        outcome: Result<&'static str, Error>,
        asked: AtomicU32,
    }

    #[async_trait]
    impl TokenSource for Link {
        fn name(&self) -> &'static str {
            "Link"
        }

        async fn fetch(&self, _: &str, _: Instant) -> Result<FetchedToken, Error> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let expires_at = SystemTime::now() + Duration::from_secs(60);
            self.outcome.clone().map(|token| FetchedToken::new(token.into(), expires_at))
        }
    }

    fn link(outcome: Result<&'static str, Error>) -> Arc<Link> {
        Arc::new(Link { outcome, asked: AtomicU32::new(0) })
    }

    fn unavailable(reason: &str) -> Error {
        Attempt::new("Link", Status::Unavailable, reason).into()
    }

    fn fetch(chain: &ChainedTokenCredential) -> Result<String, Error> {
        let fetched = chain.fetch("scope", Instant::now()).now_or_never().unwrap();
        fetched.map(|token| token.secret.expose().to_owned())
    }

    #[test]
    fn the_first_that_succeeds_is_remembered() {
        let (absent, present) = (link(Err(unavailable("absent"))), link(Ok("token")));
        let chain = ChainedTokenCredential::new(vec![absent.clone(), present.clone()]);
        for _ in 0..3 {
            assert_eq!(fetch(&chain).unwrap(), "token");
            let statuses: Vec<_> = chain.attempts().iter().map(|attempt| attempt.status).collect();
            assert_eq!(statuses, [Status::Unavailable, Status::Succeeded]);
        }
        assert_eq!(absent.asked.load(Ordering::Relaxed), 1);
        assert_eq!(present.asked.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_link_that_was_refused_ends_the_search() {
        let refused = link(Err(Attempt::new("Link", Status::Refused, "wrong secret").into()));
        let never = link(Ok("somebody else's"));
        let chain = ChainedTokenCredential::new(vec![link(Err(unavailable("absent"))), refused, never.clone()]);
        let text = fetch(&chain).unwrap_err().to_string();
        assert!(text.contains("Link: absent") && text.contains("Link: wrong secret"), "{text}");
        assert_eq!(never.asked.load(Ordering::Relaxed), 0);
    }
}
