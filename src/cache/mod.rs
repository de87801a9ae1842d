//! The token cache: one token per scope, one fetch at a time, no I/O.
//!
//! [`TokenCache::lookup`] answers at once, either with a token or with a [`Flight`] to wait for. Where somebody has to ask
//! the identity service it also hands out the [`Fetch`], the right and the duty to do so. How a fetch is made is not known
//! here: natively it runs on [`crate::runtime`], for a Python credential Python runs it, in tests the test answers it.

mod flight;
pub mod policy;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

pub use flight::{Fetch, Flight, Landing};
use policy::{Decision, Lifetime, Retry};

use crate::{clock::Clock, error::Error, fork, secret::Secret};

/// An access token as it is kept.
#[derive(Debug)]
pub struct AccessToken {
    /// The token itself.
    pub secret: Secret,
    /// When it was had, should be renewed and expires.
    pub lifetime: Lifetime,
    /// The PostgreSQL role that it logs in as, once that has been worked out.
    pub principal: OnceLock<Arc<str>>,
}

/// What a credential hands out.
#[derive(Debug)]
pub struct FetchedToken {
    /// The token.
    pub secret: Secret,
    /// End of its life.
    pub expires_at: SystemTime,
    /// When its issuer wishes it renewed, if it said so.
    pub refresh_at: Option<SystemTime>,
}

/// What to do about a scope.
#[derive(Debug)]
pub enum Lookup {
    /// A usable token; with a fetch if it is time for a new one, which nobody needs to wait for.
    Ready(Arc<AccessToken>, Option<Fetch>),
    /// None; wait for the flight. With a fetch if the caller is the one to make it.
    Pending(Flight, Option<Fetch>),
}

struct Slot {
    scope: Arc<str>,
    token: Option<Arc<AccessToken>>,
    flight: Option<Flight>,
    retry: Retry,
}

/// The tokens of one credential, by scope.
pub struct TokenCache {
    slots: Mutex<HashMap<Arc<str>, Slot>>,
    /// Counts the changes to any token, so that copies outside know when they are old.
    edition: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl TokenCache {
    /// An empty cache.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { slots: Mutex::default(), edition: AtomicU64::new(0), clock })
    }

    /// Changes whenever a token is replaced: what was looked up before may be kept as long as this stays the same.
    pub fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// The time by this cache's clock.
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Arc<str>, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token for `scope` if there is a usable one; with a fetch if it is time for a new one.
    #[must_use]
    pub fn ready(self: &Arc<Self>, scope: &str) -> Option<(Arc<AccessToken>, Option<Fetch>)> {
        let _guard = fork::guarded();
        self.usable(self.slots().get_mut(scope)?)
    }

    /// The token for `scope`, or how to come by it.
    #[must_use]
    pub fn lookup(self: &Arc<Self>, scope: &str) -> Lookup {
        let _guard = fork::guarded();
        let mut slots = self.slots();
        let scope: Arc<str> = Arc::from(scope);
        let slot = slots.entry(Arc::clone(&scope)).or_insert_with(|| Slot::new(scope));
        if let Some((token, fetch)) = self.usable(slot) {
            return Lookup::Ready(token, fetch);
        }
        let now = self.clock.now();
        if let Some(flight) = slot.flight_under_way(now) {
            return Lookup::Pending(flight.clone(), None);
        }
        let fetch = slot.take_off(self, now);
        Lookup::Pending(fetch.flight().clone(), Some(fetch))
    }

    fn usable(self: &Arc<Self>, slot: &mut Slot) -> Option<(Arc<AccessToken>, Option<Fetch>)> {
        let token = Arc::clone(slot.token.as_ref()?);
        let now = self.clock.now();
        match policy::decide(&token.lifetime, slot.retry, now, policy::spread()) {
            Decision::Use => Some((token, None)),
            Decision::UseAndRefresh => {
                let fetch = slot.flight_under_way(now).is_none().then(|| slot.take_off(self, now));
                Some((token, fetch))
            }
            Decision::Fetch => None,
        }
    }

    /// Takes a fetch's answer in and gives what its waiters get.
    fn land(&self, scope: &str, flight: &Flight, answer: Result<FetchedToken, Error>) -> Landing {
        let now = self.clock.now();
        let landing = answer.and_then(|fetched| {
            if fetched.expires_at <= now {
                return Err(Error::ExpiredOnArrival);
            }
            if fetched.secret.expose().is_empty() {
                return Err(Error::EmptyToken);
            }
            let lifetime = Lifetime::starting(now, fetched.expires_at, fetched.refresh_at);
            Ok(Arc::new(AccessToken { secret: fetched.secret, lifetime, principal: OnceLock::new() }))
        });
        if let Some(slot) = self.slots().get_mut(scope) {
            match &landing {
                Ok(token) => {
                    // The same token again, out of a cache of the credential's own, is no progress.
                    let expires_at = token.lifetime.expires_at;
                    let same = slot.token.as_ref().is_some_and(|old| old.lifetime.expires_at == expires_at);
                    slot.retry = if same { slot.retry.after_failure(now) } else { Retry::default() };
                    slot.token = Some(Arc::clone(token));
                    self.edition.fetch_add(1, Ordering::Release);
                }
                Err(_) => slot.retry = slot.retry.after_failure(now),
            }
            slot.clear(flight);
        }
        landing
    }

    /// Forgets a flight that will never land.
    fn abandon(&self, scope: &str, flight: &Flight) {
        if let Some(slot) = self.slots().get_mut(scope) {
            slot.clear(flight);
        }
    }
}

impl Slot {
    fn new(scope: Arc<str>) -> Self {
        Self { scope, token: None, flight: None, retry: Retry::default() }
    }

    /// Not one of a parent process', which never lands in its child, nor one that has been under way for too long.
    fn flight_under_way(&self, now: SystemTime) -> Option<&Flight> {
        self.flight.as_ref().filter(|flight| flight.can_land(now))
    }

    fn take_off(&mut self, cache: &Arc<TokenCache>, now: SystemTime) -> Fetch {
        let fetch = Fetch::new(Arc::clone(cache), Arc::clone(&self.scope), now);
        self.flight = Some(fetch.flight().clone());
        fetch
    }

    /// Frees the place of `flight`, unless a later one has it.
    fn clear(&mut self, flight: &Flight) {
        self.flight.take_if(|current| current.is(flight));
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::TestClock;

    const SCOPE: &str = "https://ossrdbms-aad.database.windows.net/.default";

    struct Bench {
        clock: Arc<TestClock>,
        cache: Arc<TokenCache>,
    }

    impl Bench {
        fn new() -> Self {
            let clock = Arc::new(TestClock::default());
            Self { cache: TokenCache::new(clock.clone()), clock }
        }

        fn token(&self, text: &str, life: u64) -> FetchedToken {
            FetchedToken {
                secret: text.into(),
                expires_at: self.clock.now() + Duration::from_secs(life),
                refresh_at: None,
            }
        }

        fn lead(&self) -> (Flight, Fetch) {
            match self.cache.lookup(SCOPE) {
                Lookup::Pending(flight, Some(fetch)) => (flight, fetch),
                other => panic!("expected to lead, got {other:?}"),
            }
        }

        fn ready(&self) -> (String, Option<Fetch>) {
            match self.cache.lookup(SCOPE) {
                Lookup::Ready(token, fetch) => (token.secret.expose().to_owned(), fetch),
                pending @ Lookup::Pending(..) => panic!("expected a token, got {pending:?}"),
            }
        }
    }

    fn landed(flight: &Flight) -> Landing {
        futures_util::FutureExt::now_or_never(flight.clone()).expect("has landed").expect("was not abandoned")
    }

    #[test]
    fn one_leads_and_all_others_wait_for_it() {
        let bench = Bench::new();
        let (flight, fetch) = bench.lead();
        let waiters: Vec<_> = (0..100)
            .map(|_| match bench.cache.lookup(SCOPE) {
                Lookup::Pending(flight, None) => flight,
                other => panic!("expected to wait, got {other:?}"),
            })
            .collect();
        fetch.answer(Ok(bench.token("a", 3600)));
        for waiter in waiters.iter().chain([&flight]) {
            assert_eq!(landed(waiter).unwrap().secret.expose(), "a");
        }
        assert_eq!(bench.ready().0, "a");
    }

    #[test]
    fn a_failure_is_shared_and_not_kept() {
        let bench = Bench::new();
        let (flight, fetch) = bench.lead();
        let Lookup::Pending(waiter, None) = bench.cache.lookup(SCOPE) else { panic!("expected to wait") };
        fetch.answer(Err(Error::InvalidArgument("no".into())));
        assert_eq!(landed(&flight).unwrap_err().to_string(), "no");
        assert_eq!(landed(&waiter).unwrap_err().to_string(), "no");
        bench.lead().1.answer(Ok(bench.token("b", 3600)));
        assert_eq!(bench.ready().0, "b");
    }

    #[test]
    fn a_dropped_fetch_hands_the_lead_to_a_waiter() {
        let bench = Bench::new();
        let (flight, fetch) = bench.lead();
        drop(fetch);
        let outcome = futures_util::FutureExt::now_or_never(flight).expect("is over");
        assert!(outcome.is_none(), "waiters are told that it was abandoned");
        bench.lead();
    }

    #[test]
    fn a_refresh_is_begun_once_and_nobody_waits_for_it() {
        let bench = Bench::new();
        bench.lead().1.answer(Ok(bench.token("a", 3600)));
        bench.clock.advance(Duration::from_secs(2400));
        let (token, fetch) = bench.ready();
        assert_eq!(token, "a");
        let fetch = fetch.expect("past the refresh point");
        let (token, second) = bench.ready();
        assert_eq!(token, "a");
        assert!(second.is_none(), "one refresh at a time");
        fetch.answer(Ok(bench.token("b", 3600)));
        assert_eq!(bench.ready().0, "b");
    }

    #[test]
    fn a_valid_token_outlives_a_failing_service() {
        let bench = Bench::new();
        bench.lead().1.answer(Ok(bench.token("a", 3600)));
        bench.clock.advance(Duration::from_secs(2400));
        let mut attempts = 0;
        for _ in 0..1100 {
            let (token, fetch) = bench.ready();
            assert_eq!(token, "a");
            if let Some(fetch) = fetch {
                attempts += 1;
                fetch.answer(Err(Error::InvalidArgument("503".into())));
            }
            bench.clock.advance(Duration::from_secs(1));
        }
        assert!((4..=10).contains(&attempts), "backed off: {attempts} attempts in 1,100 s");
        bench.clock.advance(Duration::from_secs(101));
        bench.lead();
    }

    #[test]
    fn a_token_that_is_expired_on_arrival_is_an_error() {
        let bench = Bench::new();
        let (flight, fetch) = bench.lead();
        fetch.answer(Ok(bench.token("a", 0)));
        assert!(matches!(landed(&flight), Err(Error::ExpiredOnArrival)));
    }

    #[test]
    fn scopes_do_not_share() {
        let bench = Bench::new();
        bench.lead().1.answer(Ok(bench.token("a", 3600)));
        assert!(matches!(bench.cache.lookup("other"), Lookup::Pending(_, Some(_))));
    }
}
