//! The token cache: one token per scope, one fetch at a time, no I/O.
//!
//! [`TokenCache::lookup`] returns at once, either a token or a [`Flight`] to wait for. Where the identity service has to be
//! asked it also hands out the [`Fetch`], the right and the duty to do so. The cache does not know how a fetch is made:
//! native ones run on [`crate::platform::runtime`], Python runs those of a Python credential, and tests answer their own.
//!
//! A server may refuse a token before it expires: it was revoked, or its signing key was withdrawn. Then
//! [`TokenCache::replace`] fetches another in its place. The refused one stays until that succeeds, because one user's
//! refusal (a missing role) must not leave all others without a token while the identity service is down.

mod answers;
mod flight;
pub mod policy;
mod slot;
pub mod stats;
#[cfg(test)]
mod tests;
mod token;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, SystemTime},
};

pub use flight::{Fetch, FetchResult, Flight, OVERDUE_AFTER, Progress, Unwanted};
use policy::{Decision, Retry};
use slot::Slot;
use stats::Stats;
pub use token::{AccessToken, FetchedToken};

use crate::{
    error::Error,
    platform::{
        clock::{Clock, Moment},
        fork,
        sync::{AtomicU64, Mutex, MutexGuard},
    },
};

/// How often a login checks whether a renewal has ended.
const PEEK: Duration = Duration::from_millis(100);

/// How to obtain the token for a scope.
#[derive(Debug)]
pub enum Lookup {
    /// A usable token; with a fetch in the background if it is due for renewal.
    Ready(Arc<AccessToken>, Option<Fetch>),
    /// No token yet; wait for the flight. With a fetch if the caller is the one to make it.
    Pending(Flight, Option<Fetch>),
    /// No token, and the service throttles requests for longer than the caller waits.
    Throttled(Error),
}

/// The tokens of one credential, by scope.
pub struct TokenCache {
    slots: Mutex<HashMap<Arc<str>, Slot>>,
    /// Counts the changes to any token, so that copies outside know when they are old.
    version: AtomicU64,
    clock: Arc<dyn Clock>,
    /// Counters of its operation.
    pub stats: Stats,
}

impl TokenCache {
    /// An empty cache.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { slots: Mutex::default(), version: AtomicU64::new(0), clock, stats: Stats::default() })
    }

    /// Changes whenever a token is replaced: what was looked up before may be kept as long as this stays the same.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The time by this cache's clock.
    pub fn now(&self) -> Moment {
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

    /// Whether there is a token for `scope` that has not expired.
    #[must_use]
    pub fn has_usable(&self, scope: &str) -> bool {
        let _guard = fork::guarded();
        let now = self.clock.now();
        self.slots().get(scope).and_then(|slot| slot.token.as_ref()).is_some_and(|token| token.lifetime.is_usable(now))
    }

    /// While the version stays the same, a copy of the token stays valid until this moment.
    #[must_use]
    pub fn look_again(&self, scope: &str) -> Moment {
        let _guard = fork::guarded();
        let now = self.clock.now();
        let slots = self.slots();
        let Some((slot, token)) = slots.get(scope).and_then(|slot| Some((slot, slot.token.as_ref()?))) else {
            return now;
        };
        let fresh_until = token.lifetime.fresh_until(&slot.retry, policy::spread());
        match slot.flight_under_way() {
            // Success changes the version; a failure is noticed at the next check.
            Some(_) => fresh_until.max(now.after(PEEK).min(token.lifetime.usable_until())),
            None => fresh_until,
        }
    }

    /// The token for `scope`, or how to obtain it for a caller that waits until `deadline`.
    #[must_use]
    pub fn lookup(self: &Arc<Self>, scope: &str, deadline: Moment) -> Lookup {
        let _guard = fork::guarded();
        let mut slots = self.slots();
        let scope: Arc<str> = Arc::from(scope);
        let slot = slots.entry(Arc::clone(&scope)).or_insert_with(|| Slot::new(scope));
        if let Some((token, fetch)) = self.usable(slot) {
            return Lookup::Ready(token, fetch);
        }
        self.join(slot, deadline)
    }

    /// A token instead of `refused`, which the server did not accept: the one that has replaced it since, or a flight that
    /// fetches one. `None` if the service gave a token instead of another one a moment ago and this was refused as well, because
    /// then the token is not the reason.
    #[must_use]
    pub fn replace(self: &Arc<Self>, scope: &str, refused: &str, deadline: Moment) -> Option<Lookup> {
        let _guard = fork::guarded();
        let mut slots = self.slots();
        let slot = slots.get_mut(scope)?;
        let token = Arc::clone(slot.token.as_ref()?);
        if token.secret.expose() != refused {
            return Some(match self.usable(slot) {
                Some((token, fetch)) => Lookup::Ready(token, fetch),
                None => self.join(slot, deadline),
            });
        }
        self.stats.refused();
        // Callers that were refused at the same time wait for the same flight.
        if slot.flight_under_way().is_none() && !slot.refused.permits(&token.lifetime, self.clock.now()) {
            return None;
        }
        slot.refused_token = Some((token, self.clock.wall()));
        Some(self.join(slot, deadline))
    }

    /// The server accepted the token of [`Self::replace`]: the next refusal counts as the first.
    pub fn accepted(&self, scope: &str) {
        let _guard = fork::guarded();
        if let Some(slot) = self.slots().get_mut(scope) {
            slot.refused = Retry::default();
        }
    }

    /// When each scope's token expires, by the wall clock.
    pub fn expiries(&self) -> Vec<(Arc<str>, SystemTime)> {
        let _guard = fork::guarded();
        let dated = |slot: &Slot| slot.token.as_ref().map(|token| (Arc::clone(&slot.scope), token.lifetime.expires_on));
        self.slots().values().filter_map(dated).collect()
    }

    /// The error for a caller whose timeout has passed.
    #[must_use]
    pub fn too_late(&self, scope: &str, after: Duration) -> Error {
        let _guard = fork::guarded();
        let (now, slots) = (self.clock.now(), self.slots());
        let slot = slots.get(scope);
        let flight = slot.and_then(Slot::flight_under_way);
        let since = |slot: &Slot| {
            let elapsed = flight.and_then(|flight| now.since(flight.since)).unwrap_or_default();
            slot.retry.failing_since.unwrap_or_else(|| self.clock.wall() - elapsed)
        };
        let expired = |slot: &Slot| {
            let lifetime = slot.token.as_ref()?.lifetime;
            (!lifetime.is_usable(now)).then(|| (lifetime.expires_on, since(slot)))
        };
        Error::TimedOut {
            after,
            progress: flight.and_then(|flight| flight.progress.last()),
            expired: slot.and_then(expired),
            last: slot.and_then(|slot| slot.failure.clone()),
        }
    }

    /// The flight to wait for, with a fetch if one has to begin; where the service throttles, only for a caller that waits
    /// long enough.
    fn join(self: &Arc<Self>, slot: &mut Slot, deadline: Moment) -> Lookup {
        let now = self.clock.now();
        let pause = match slot.throttling(now) {
            Some((left, error)) if now.after(left) >= deadline => {
                return Lookup::Throttled(self.with_story(slot, error));
            }
            Some((left, _)) => left,
            None => Duration::ZERO,
        };
        let (flight, fetch) = self.join_after(slot, pause);
        Lookup::Pending(flight, fetch)
    }

    /// The flight, with a fetch if one has to begin, after a pause.
    fn join_after(self: &Arc<Self>, slot: &mut Slot, pause: Duration) -> (Flight, Option<Fetch>) {
        let now = self.clock.now();
        if let Some(flight) = slot.flight_under_way().filter(|flight| !flight.is_overdue(now)) {
            return (flight.clone(), None);
        }
        // Only for a fetch, not for each of its waiters: it copies the token.
        let (scope, unwanted) = (Arc::clone(&slot.scope), slot.unwanted());
        let overdue = slot.flight.as_mut().filter(|flight| flight.is_of_this_process());
        let joined = overdue
            .and_then(|flight| Fetch::joining(flight, Arc::clone(self), Arc::clone(&scope), unwanted.clone(), now));
        let fetch = joined.unwrap_or_else(|| Fetch::new(Arc::clone(self), scope, unwanted, now, pause));
        self.stats.requested();
        slot.flight = Some(fetch.flight().clone());
        (fetch.flight().clone(), Some(fetch))
    }

    fn usable(self: &Arc<Self>, slot: &mut Slot) -> Option<(Arc<AccessToken>, Option<Fetch>)> {
        let token = Arc::clone(slot.token.as_ref()?);
        let now = self.clock.now();
        match policy::decide(&token.lifetime, &slot.retry, now, policy::spread()) {
            Decision::Use => Some((token, None)),
            Decision::UseAndRefresh => Some((token, self.join_after(slot, Duration::ZERO).1)),
            Decision::Fetch => None,
        }
    }

    /// Forgets a flight that will never end.
    fn abandon(&self, scope: &str, flight: &Flight) {
        if let Some(slot) = self.slots().get_mut(scope) {
            slot.flight.take_if(|current| current.is(flight));
        }
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}
