//! What the answer to a fetch changes.

use std::{
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use super::{
    AccessToken, Fetch, FetchResult, FetchedToken, TokenCache,
    policy::{self, Decision, Lifetime, Retry},
    slot::Slot,
};
use crate::{
    error::{Error, LastFailure, date, seconds},
    platform::log_buffer::{self, Level},
};

impl TokenCache {
    /// End a fetch with its answer, and return what its waiters get; `None` for a failure that is not theirs, because another
    /// fetch goes on.
    pub(super) fn complete(
        &self,
        fetch: &Fetch,
        source: &str,
        answer: Result<FetchedToken, Error>,
    ) -> Option<FetchResult> {
        let took = self.clock.now().since(fetch.begun()).unwrap_or_default();
        let answer = answer.and_then(|fetched| {
            if fetched.secret.expose().is_empty() {
                return Err(Error::EmptyToken);
            }
            let lifetime = Lifetime::starting(&*self.clock, fetched.expires_at, fetched.refresh_at);
            let lifetime = lifetime.ok_or(Error::ExpiredOnArrival)?;
            Ok(Arc::new(AccessToken {
                secret: fetched.secret,
                lifetime,
                from_shared_cache: fetched.from_shared_cache,
                principal: OnceLock::new(),
            }))
        });
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&**fetch.scope()) else { return Some(answer) };
        let flight = slot.flight.take_if(|current| current.is(fetch.flight()));
        match (answer, flight) {
            (Ok(token), None) if slot.has_as_good_as(&token) => Some(Ok(token)),
            (Ok(token), _) => {
                self.take_in(slot, &token, source, took);
                Some(Ok(token))
            }
            (Err(error), Some(flight)) if !flight.has_later_than(fetch) => {
                Some(Err(self.take_failure(slot, error, source)))
            }
            (Err(error), flight) => {
                slot.flight = slot.flight.take().or(flight);
                self.stats.failed();
                let scope = &slot.scope;
                log_buffer::record(
                    Level::Debug,
                    &format_args!("no token for {scope} from {source}, too late to be used: {error}"),
                );
                None
            }
        }
    }

    fn take_in(&self, slot: &mut Slot, token: &Arc<AccessToken>, source: &str, took: Duration) {
        let scope = &slot.scope;
        let until = date(token.lifetime.expires_on);
        let took = seconds(took);
        let was_refused = slot.is_refused();
        // Another process may have left one that is as old as the refused one.
        if was_refused && !token.from_shared_cache {
            slot.refused = slot.refused.after_failure(&*self.clock, None);
        }
        // The same token again, from a cache of the credential's own, is not a renewal.
        let same = slot.token.as_ref().is_some_and(|old| {
            let as_long = old.lifetime.expires_on == token.lifetime.expires_on;
            old.secret == token.secret || (as_long && !was_refused)
        });
        if same {
            slot.retry = slot.retry.after_failure(&*self.clock, None);
            let pause = seconds(slot.retry.pause(&token.lifetime));
            log_buffer::record(
                Level::Debug,
                &format_args!(
                    "{source} gave the same token for {scope} again, good until {until}; next try in {pause} s"
                ),
            );
        } else {
            let verb = if slot.token.is_some() { "renewed" } else { "acquired" };
            // Routine renewals are not worth more than a debug record: short-lived tokens cause many.
            let routine = slot.token.is_some() && !slot.retry.is_failing() && !was_refused;
            log_buffer::record(
                if routine { Level::Debug } else { Level::Info },
                &format_args!("{verb} a token for {scope} from {source} in {took} s, good until {until}"),
            );
            if slot.token.is_some() {
                self.stats.refreshed();
            }
            slot.retry = Retry::default();
            slot.failure = None;
            slot.throttled = None;
        }
        slot.token = Some(Arc::clone(token));
        self.version.fetch_add(1, Ordering::Release);
    }

    fn take_failure(&self, slot: &mut Slot, error: Error, source: &str) -> Error {
        self.stats.failed();
        slot.retry = slot.retry.after_failure(&*self.clock, error.retry_after());
        slot.failure = Some(LastFailure::from(&error));
        slot.throttled = error.is_throttling().then(|| {
            let pause = error.retry_after().unwrap_or_else(|| slot.retry.backoff());
            (self.clock.now(), pause, error.clone())
        });
        let scope = &slot.scope;
        let Some(token) = &slot.token else {
            log_buffer::record(Level::Warning, &format_args!("no token for {scope} from {source}: {error}"));
            return error;
        };
        let lifetime = &token.lifetime;
        if policy::decide(lifetime, &slot.retry, self.clock.now(), policy::spread()) != Decision::Fetch {
            let until = date(lifetime.expires_on);
            let pause = seconds(slot.retry.pause(lifetime));
            log_buffer::record(
                Level::Warning,
                &format_args!(
                    "could not renew the token for {scope} from {source}; the one at hand is good until {until}, next try in \
                     {pause} s at the earliest: {error}"
                ),
            );
            return error;
        }
        let error = self.with_story(slot, error);
        log_buffer::record(Level::Warning, &format_args!("no token for {scope} from {source}: {error}"));
        error
    }

    /// A failure, with how long the token that there was could not be renewed.
    pub(super) fn with_story(&self, slot: &Slot, error: Error) -> Error {
        let Some(token) = &slot.token else { return error };
        Error::RenewalFails {
            expired_on: token.lifetime.expires_on,
            since: slot.retry.failing_since.unwrap_or_else(|| self.clock.wall()),
            attempts: slot.retry.failures,
            cause: Arc::new(error),
        }
    }
}
