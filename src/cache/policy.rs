//! When a cached token is used, renewed or replaced: a pure function of the token, the past failures and the time.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use crate::platform::{
    clock::{Clock, Moment},
    fork,
    limits::LIFE_AT_MOST,
};

/// Tokens that live longer are renewed late in their life, the others early.
const LONG_LIVED: Duration = Duration::from_secs(2 * 3600);
/// A token with less than this (or a tenth of a short life) left could expire on its way to the server.
const LEEWAY: Duration = Duration::from_secs(10);
/// A renewal begins at least this long before the end of a token's use (or a tenth of a short life).
const RENEWAL_TAKES: Duration = Duration::from_secs(60);
/// After a failed attempt, background renewal pauses for this long (or a twentieth of a short life); twice as long after each
/// further failure.
const RETRY_AFTER: Duration = Duration::from_secs(30);
const RETRY_AFTER_AT_MOST: Duration = Duration::from_secs(300);
/// Pause after an answer that throttles without a `Retry-After`, even for callers without a token; twice as long after each
/// further failure.
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_AT_MOST: Duration = Duration::from_secs(10);

/// The dates of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// When it was obtained.
    pub obtained_at: Moment,
    /// When the server stops accepting it.
    pub expires_at: Moment,
    /// The same by the wall clock, for messages and for tokens that are kept elsewhere.
    pub expires_on: SystemTime,
    // Computed once, because every login needs them.
    renewal: Moment,
    renewal_spread: Duration,
    usable_until: Moment,
}

impl Lifetime {
    /// The dates of a token that was obtained now, from its issuer's. `None` if it has expired.
    #[must_use]
    pub fn starting(clock: &dyn Clock, expires_on: SystemTime, refresh_on: Option<SystemTime>) -> Option<Self> {
        Self::started(clock, Duration::ZERO, expires_on, refresh_on)
    }

    /// The dates of a token that was obtained `age` ago.
    #[must_use]
    pub fn started(
        clock: &dyn Clock,
        age: Duration,
        expires_on: SystemTime,
        refresh_on: Option<SystemTime>,
    ) -> Option<Self> {
        let (now, wall) = (clock.now(), clock.wall());
        let from_now = |date: SystemTime| date.duration_since(wall).unwrap_or_default().min(LIFE_AT_MOST);
        let left = from_now(expires_on);
        let refresh_at = refresh_on.map(|date| now.after(from_now(date)));
        (!left.is_zero()).then(|| Self::new(now.before(age), refresh_at, now.after(left), wall + left))
    }

    fn new(obtained_at: Moment, refresh_at: Option<Moment>, expires_at: Moment, expires_on: SystemTime) -> Self {
        let total = expires_at.since(obtained_at).unwrap_or_default();
        // The end of its use, a little before its life's.
        let usable_until = obtained_at.after(total.saturating_sub(LEEWAY.min(total / 10)));
        // When the issuer asks for it, else half-way through a short life or in the last quarter of a long one. The bounds
        // keep an early date from causing requests without end, and a late one from making logins wait.
        let half = if total <= LONG_LIVED { total / 2 } else { total * 3 / 4 };
        let earliest = obtained_at.after((total / 4).min(RETRY_AFTER));
        let latest = usable_until.before((total / 10).min(RENEWAL_TAKES));
        let renewal = refresh_at.unwrap_or_else(|| obtained_at.after(half)).max(earliest).min(latest);
        let left = usable_until.since(renewal).unwrap_or_default();
        Self { obtained_at, expires_at, expires_on, renewal, renewal_spread: (total / 10).min(left / 2), usable_until }
    }

    fn total(&self) -> Duration {
        self.expires_at.since(self.obtained_at).unwrap_or_default()
    }

    /// Renewal begins here. `spread`, between 0 and 1, moves it by up to a tenth of the life, so that processes that share a
    /// token by fork do not all ask together; by no more than half of what is left of its use, so that there is time to
    /// renew it.
    fn refresh_from(&self, spread: f64) -> Moment {
        self.renewal.after(self.renewal_spread.mul_f64(spread))
    }

    /// Until then nothing is due: neither a renewal nor another attempt after a failed one.
    #[must_use]
    pub fn fresh_until(&self, retry: &Retry, spread: f64) -> Moment {
        let again = if retry.is_failing() { retry.last.after(retry.pause(self)) } else { self.obtained_at };
        self.refresh_from(spread).max(again).min(self.usable_until())
    }

    /// Whether it is valid for long enough to be sent.
    #[must_use]
    pub fn is_usable(&self, now: Moment) -> bool {
        // Before it was obtained: the process was moved to another machine, whose clock is unrelated to the token.
        now < self.usable_until() && now >= self.obtained_at
    }

    /// The end of its use, a little before its life's.
    pub(super) fn usable_until(&self) -> Moment {
        self.usable_until
    }
}

/// The failed attempts since the last success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retry {
    /// How many there were since the last success.
    pub failures: u32,
    /// When the first of them was, by the wall clock.
    pub failing_since: Option<SystemTime>,
    last: Moment,
    stated_pause: Duration,
}

impl Retry {
    /// After one more failed attempt; `retry_after` is what the service states.
    #[must_use]
    pub fn after_failure(self, clock: &dyn Clock, retry_after: Option<Duration>) -> Self {
        Self {
            failures: self.failures + 1,
            failing_since: self.failing_since.or_else(|| Some(clock.wall())),
            last: clock.now(),
            stated_pause: retry_after.unwrap_or_default(),
        }
    }

    /// Whether the last attempt failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// The pause after an answer that throttles without a `Retry-After`.
    #[must_use]
    pub fn backoff(&self) -> Duration {
        (BACKOFF * 2u32.saturating_pow(self.failures.saturating_sub(1).min(8))).min(BACKOFF_AT_MOST)
    }

    /// How long after the last failure background renewal pauses.
    #[must_use]
    pub fn pause(&self, life: &Lifetime) -> Duration {
        let first = RETRY_AFTER.min(life.total() / 20);
        let doubled = first * 2u32.saturating_pow(self.failures.saturating_sub(1).min(8));
        doubled.min(RETRY_AFTER_AT_MOST).max(self.stated_pause.min(LIFE_AT_MOST))
    }

    /// Whether background renewal may begin now.
    #[must_use]
    pub fn permits(&self, life: &Lifetime, now: Moment) -> bool {
        !self.is_failing() || now >= self.last.after(self.pause(life)) || now < self.last
    }
}

/// What to do for a login now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Use the cached token.
    Use,
    /// Use it, and fetch a new one in the background.
    UseAndRefresh,
    /// It is no longer valid for long enough: fetch a new one, and wait for it.
    Fetch,
}

/// Decide for one login. `spread` is this process's share of the jitter, see [`spread`].
#[must_use]
pub fn decide(life: &Lifetime, retry: &Retry, now: Moment, spread: f64) -> Decision {
    if !life.is_usable(now) {
        return Decision::Fetch;
    }
    let due = now >= life.refresh_from(spread);
    if due && retry.permits(life, now) { Decision::UseAndRefresh } else { Decision::Use }
}

/// A number from 0 to 1 that differs between processes that were forked from one parent.
#[must_use]
pub fn spread() -> f64 {
    // Generation and value in one word: drawn again in a child, whichever thread asks first.
    static DRAWN: AtomicU64 = AtomicU64::new(u64::MAX);
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    let generation = fork::generation();
    let drawn = DRAWN.load(Ordering::Relaxed);
    if drawn >> 32 == u64::from(generation) {
        return share(drawn);
    }
    // Siblings inherit the same keys, and differ by their process id.
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
    use crate::platform::clock::TestClock;

    fn at(seconds: f64) -> Moment {
        Moment::default().after(Duration::from_secs_f64(seconds))
    }

    fn life(seconds: f64) -> Lifetime {
        lived(0.0, None, seconds)
    }

    fn lived(obtained: f64, refresh: Option<f64>, expires: f64) -> Lifetime {
        let expires_on = TestClock::default().wall() + Duration::from_secs_f64(expires);
        Lifetime::new(at(obtained), refresh.map(at), at(expires), expires_on)
    }

    #[test]
    fn a_life_in_decisions() {
        use Decision::{Fetch, Use, UseAndRefresh};
        let hour = life(3600.0);
        let two_hours = life(7200.0);
        let three_hours = life(10_800.0);
        let day = life(86_400.0);
        let short = life(4.0);
        let at_once = lived(0.0, Some(0.0), 3600.0);
        let wished = lived(0.0, Some(600.0), 3600.0);
        let moved = lived(5000.0, None, 8600.0);
        for (life, seconds, expected) in [
            (hour, 0.0, Use),
            (hour, 1799.0, Use),
            (hour, 1801.0, UseAndRefresh),
            (hour, 3589.0, UseAndRefresh),
            (hour, 3590.0, Fetch),
            (hour, 9999.0, Fetch),
            (two_hours, 3599.0, Use),
            (two_hours, 3601.0, UseAndRefresh),
            (three_hours, 8099.0, Use),
            (three_hours, 8101.0, UseAndRefresh),
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
            (moved, 10.0, Fetch),
        ] {
            assert_eq!(decide(&life, &Retry::default(), at(seconds), 0.0), expected, "{life:?} at {seconds} s");
        }
    }

    #[test]
    fn dates_depend_on_the_wall_clock_once() {
        let clock = TestClock::default();
        let hour = Duration::from_secs(3600);
        let expires_on = clock.wall() + hour;
        let life = Lifetime::starting(&clock, expires_on, None).unwrap();
        assert_eq!(life.expires_on, expires_on);
        // Set back a day and forward a day: the token is as old as it is.
        for wall in [clock.wall() - 24 * hour, clock.wall() + 24 * hour] {
            clock.set_wall(wall);
            assert_eq!(decide(&life, &Retry::default(), clock.now(), 0.0), Decision::Use);
        }
        clock.advance(hour);
        assert_eq!(decide(&life, &Retry::default(), clock.now(), 0.0), Decision::Fetch);
        assert_eq!(Lifetime::starting(&clock, clock.wall(), None), None);
        let absurd = Lifetime::starting(&clock, clock.wall() + 1_000_000 * hour, None).unwrap();
        assert_eq!(absurd.total(), LIFE_AT_MOST);
    }

    #[test]
    fn jitter_delays_the_refresh_by_at_most_a_tenth_of_the_life() {
        let hour = life(3600.0);
        let none = Retry::default();
        assert_eq!(decide(&hour, &none, at(2159.0), 1.0), Decision::Use);
        assert_eq!(decide(&hour, &none, at(2161.0), 1.0), Decision::UseAndRefresh);
        // Neither bound is drawn in practice: one in four thousand million draws is.
        assert!(spread() > 0.0 && spread() < 1.0);
        assert!((spread() - spread()).abs() < f64::EPSILON, "one draw per process");
    }

    #[test]
    fn a_renewal_begins_in_time_whatever_the_issuer_asks_for() {
        for total in [2.0, 20.0, 300.0, 3600.0, 86_400.0] {
            for share in [0.0, 0.5, 0.95, 0.99, 1.0, 2.0] {
                let life = lived(0.0, Some(total * share), total);
                for spread in [0.0, 0.5, 1.0] {
                    let begins = life.refresh_from(spread);
                    let left = life.usable_until().since(begins).unwrap();
                    assert!(left >= (life.total() / 20).min(RENEWAL_TAKES / 2), "{left:?} of {total} s, wish {share}");
                    assert_eq!(life.fresh_until(&Retry::default(), spread), begins);
                    assert_eq!(decide(&life, &Retry::default(), begins, spread), Decision::UseAndRefresh);
                }
            }
        }
    }

    /// A failure at 2,000 s on a machine that was started at 0.
    fn failed(retry: Retry, wish: Option<u64>) -> Retry {
        Retry { last: at(2000.0), ..retry.after_failure(&TestClock::default(), wish.map(Duration::from_secs)) }
    }

    #[test]
    fn failures_back_off_but_never_keep_an_expired_token() {
        let hour = life(3600.0);
        let mut retry = Retry::default();
        assert!(!retry.is_failing());
        for wait in [30.0, 60.0, 120.0, 240.0, 300.0, 300.0] {
            retry = failed(retry, None);
            assert!(retry.is_failing());
            assert_eq!(decide(&hour, &retry, at(2000.0 + wait - 1.0), 0.0), Decision::Use);
            assert_eq!(decide(&hour, &retry, at(2000.0 + wait), 0.0), Decision::UseAndRefresh);
        }
        assert_eq!(decide(&hour, &failed(retry, Some(7200)), at(3596.0), 0.0), Decision::Fetch);
    }

    #[test]
    fn retry_after_lengthens_the_pause_and_never_shortens_it() {
        let hour = life(3600.0);
        for (wish, wait) in [(600, 600.0), (1, 30.0)] {
            let retry = failed(Retry::default(), Some(wish));
            assert_eq!(decide(&hour, &retry, at(2000.0 + wait - 1.0), 0.0), Decision::Use);
            assert_eq!(decide(&hour, &retry, at(2000.0 + wait), 0.0), Decision::UseAndRefresh);
        }
    }

    #[test]
    fn the_pause_is_short_for_a_short_life() {
        assert_eq!(failed(Retry::default(), None).pause(&life(20.0)), Duration::from_secs(1));
        assert_eq!(failed(Retry::default(), None).pause(&life(3600.0)), RETRY_AFTER);
    }
}
