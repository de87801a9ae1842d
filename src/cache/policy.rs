//! When a cached token is used, renewed or replaced: a pure function of the token, the past failures and the time.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use crate::fork;

/// Tokens that live longer are renewed late in their life, the others early.
const LONG_LIVED: Duration = Duration::from_secs(2 * 3600);
/// A token with less than this (or a tenth of a short life) left could expire on its way to the server.
const LEEWAY: Duration = Duration::from_secs(10);
/// After a failed attempt, nobody asks again in the background for this long; twice as long after each further failure.
const RETRY_AFTER: Duration = Duration::from_secs(30);
const RETRY_AFTER_AT_MOST: Duration = Duration::from_secs(300);

/// What a token may claim of its life; more is a mistake (milliseconds, for one), and dates must not overflow.
const LIFE_AT_MOST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The dates of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// When we got it.
    pub obtained_at: SystemTime,
    /// When its issuer wants it renewed, if it said so.
    pub refresh_at: Option<SystemTime>,
    /// When the server stops taking it.
    pub expires_at: SystemTime,
}

impl Lifetime {
    /// The dates of a token that is had now.
    #[must_use]
    pub fn starting(now: SystemTime, expires_at: SystemTime, refresh_at: Option<SystemTime>) -> Self {
        let latest = now + LIFE_AT_MOST;
        Self { obtained_at: now, expires_at: expires_at.min(latest), refresh_at: refresh_at.map(|at| at.min(latest)) }
    }

    fn total(&self) -> Duration {
        self.expires_at.duration_since(self.obtained_at).unwrap_or_default()
    }

    /// Renewal begins here: at the issuer's wish, else half-way through a short life or in the last quarter of a long one.
    /// `spread`, between 0 and 1, moves it by up to a tenth of the life, so that processes that share a token by fork do
    /// not all ask together.
    fn refresh_from(&self, spread: f64) -> SystemTime {
        let total = self.total();
        let start = self.refresh_at.unwrap_or(if total <= LONG_LIVED {
            self.obtained_at + total / 2
        } else {
            self.expires_at - total / 4
        });
        // An issuer that wants a token renewed as soon as it is given would be asked without end.
        let start = start.max(self.obtained_at + (total / 4).min(RETRY_AFTER));
        start + (total / 10).mul_f64(spread)
    }

    /// Until then nobody needs to look again.
    #[must_use]
    pub fn fresh_until(&self, spread: f64) -> SystemTime {
        self.refresh_from(spread).min(self.usable_until())
    }

    fn usable_until(&self) -> SystemTime {
        self.expires_at - LEEWAY.min(self.total() / 10)
    }
}

/// What failed attempts to renew a token call for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retry {
    failures: u32,
    not_before: Option<SystemTime>,
}

impl Retry {
    /// One more attempt failed.
    #[must_use]
    pub fn after_failure(self, now: SystemTime) -> Self {
        let wait = RETRY_AFTER * 2u32.saturating_pow(self.failures.min(8));
        Self { failures: self.failures + 1, not_before: Some(now + wait.min(RETRY_AFTER_AT_MOST)) }
    }
}

/// What to do for a login now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Take the cached token.
    Use,
    /// Take it, and have a new one fetched meanwhile.
    UseAndRefresh,
    /// It is not worth sending any more: fetch one, and wait.
    Fetch,
}

/// Decides for one login. `spread` is this process's share of the jitter, see [`spread`].
#[must_use]
pub fn decide(life: &Lifetime, retry: Retry, now: SystemTime, spread: f64) -> Decision {
    if now >= life.usable_until() {
        return Decision::Fetch;
    }
    let due = now >= life.refresh_from(spread);
    let allowed = retry.not_before.is_none_or(|moment| now >= moment);
    if due && allowed { Decision::UseAndRefresh } else { Decision::Use }
}

/// This process's place among those that forked from one parent: a number from 0 to 1, another in each.
#[must_use]
pub fn spread() -> f64 {
    // Generation and value in one word: drawn anew in a child, whatever thread asks first.
    static DRAWN: AtomicU64 = AtomicU64::new(u64::MAX);
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    let generation = fork::generation();
    let drawn = DRAWN.load(Ordering::Relaxed);
    if drawn >> 32 == u64::from(generation) {
        return share(drawn);
    }
    // The process id tells siblings apart, who inherit the same keys.
    let mut hasher = KEYS.get_or_init(RandomState::new).build_hasher();
    hasher.write_u32(std::process::id());
    let drawn = (u64::from(generation) << 32) | (hasher.finish() >> 32);
    DRAWN.store(drawn, Ordering::Relaxed);
    share(drawn)
}

fn share(drawn: u64) -> f64 {
    let [.., a, b, c, d] = drawn.to_be_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn at(seconds: f64) -> SystemTime {
        START + Duration::from_secs_f64(seconds)
    }

    fn life(seconds: f64) -> Lifetime {
        Lifetime { obtained_at: START, refresh_at: None, expires_at: at(seconds) }
    }

    #[test]
    fn a_life_in_decisions() {
        use Decision::{Fetch, Use, UseAndRefresh};
        let hour = life(3600.0);
        let day = life(86_400.0);
        let short = life(4.0);
        let at_once = Lifetime { refresh_at: Some(START - Duration::from_secs(60)), ..hour };
        let wished = Lifetime { refresh_at: Some(at(600.0)), ..hour };
        for (life, seconds, expected) in [
            (hour, 0.0, Use),
            (hour, 1799.0, Use),
            (hour, 1801.0, UseAndRefresh),
            (hour, 3589.0, UseAndRefresh),
            (hour, 3591.0, Fetch),
            (hour, 9999.0, Fetch),
            (day, 43_200.0, Use),
            (day, 64_801.0, UseAndRefresh),
            (short, 1.9, Use),
            (short, 2.1, UseAndRefresh),
            (short, 3.5, UseAndRefresh),
            (short, 3.7, Fetch),
            (at_once, 29.0, Use),
            (at_once, 31.0, UseAndRefresh),
            (wished, 599.0, Use),
            (wished, 601.0, UseAndRefresh),
        ] {
            assert_eq!(decide(&life, Retry::default(), at(seconds), 0.0), expected, "{life:?} at {seconds} s");
        }
    }

    #[test]
    fn jitter_delays_the_refresh_by_at_most_a_tenth_of_the_life() {
        let hour = life(3600.0);
        let none = Retry::default();
        assert_eq!(decide(&hour, none, at(2159.0), 1.0), Decision::Use);
        assert_eq!(decide(&hour, none, at(2161.0), 1.0), Decision::UseAndRefresh);
        assert!((0.0..=1.0).contains(&spread()));
        assert!((spread() - spread()).abs() < f64::EPSILON, "one draw per process");
    }

    #[test]
    fn failures_back_off_but_never_keep_an_expired_token() {
        let hour = life(3600.0);
        let mut retry = Retry::default();
        for wait in [30.0, 60.0, 120.0, 240.0, 300.0, 300.0] {
            retry = retry.after_failure(at(2000.0));
            assert_eq!(decide(&hour, retry, at(2000.0 + wait - 1.0), 0.0), Decision::Use);
            assert_eq!(decide(&hour, retry, at(2000.0 + wait), 0.0), Decision::UseAndRefresh);
        }
        assert_eq!(decide(&hour, retry.after_failure(at(3595.0)), at(3596.0), 0.0), Decision::Fetch);
    }
}
