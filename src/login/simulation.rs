//! The cache and the login under a scheduler that proptest drives: thousands of interleavings, days in milliseconds.
//!
//! All state of the cache is behind one lock and all waiting is in futures, so an interleaving is an order of polls, answers
//! and ticks of the clock. Those are what is drawn here. Wakers are real: no future is polled that was not woken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::future::BoxFuture;
use proptest::prelude::*;

use super::{Fetches, Login, LoginRequest, Logins};
use crate::{
    cache::{
        Fetch, FetchedToken, OVERDUE_AFTER,
        policy::{Lifetime, Retry},
    },
    error::Error,
    platform::{
        clock::{Clock, Moment, TestClock},
        secret::Secret,
    },
};

const SCOPE: &str = "https://ossrdbms-aad.database.windows.net/.default";

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Waiter {
    future: BoxFuture<'static, Result<Login, Error>>,
    fetches: Fetches,
    woken: Arc<Woken>,
}

struct World {
    clock: Arc<TestClock>,
    logins: Arc<Logins>,
    waiters: Vec<Waiter>,
    /// Fetches that nobody has answered yet, and when they began; `None` once another one has ended their flight.
    in_flight: Vec<(Fetch, Option<Moment>)>,
    issued: u32,
    /// The newest token that landed: its text, and when it expires.
    newest: Option<(String, Moment)>,
    requests: usize,
    failed: usize,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TestClock::default());
        Self {
            logins: Arc::new(Logins::new(clock.clone())),
            clock,
            waiters: Vec::new(),
            in_flight: Vec::new(),
            issued: 0,
            newest: None,
            requests: 0,
            failed: 0,
        }
    }

    /// Begins a login; whether it was there at once.
    fn login(&mut self, instead_of: Option<String>) -> bool {
        let plain = instead_of.is_none();
        let soon = self.clock.now().after(Duration::from_secs(11));
        let has_token = self.newest.as_ref().is_some_and(|(_, expires)| *expires > soon);
        let request = LoginRequest {
            scope: SCOPE.into(),
            user_known: true,
            instead_of: instead_of.map(Secret::from),
            deadline: Arc::default(),
        };
        let fetches = Fetches::default();
        let future = Box::pin(Arc::clone(&self.logins).login(request, Arc::clone(&fetches)));
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.waiters.push(Waiter { future, fetches, woken });
        let there = self.poll(self.waiters.len() - 1);
        assert!(there || !plain || !has_token, "a login waited although there was a good token");
        there
    }

    /// Polls a waiter if it was woken; whether it has ended.
    fn poll(&mut self, index: usize) -> bool {
        let waiter = &mut self.waiters[index];
        if !waiter.woken.0.swap(false, Ordering::Relaxed) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&waiter.woken));
        let outcome = waiter.future.as_mut().poll(&mut Context::from_waker(&waker));
        let begun = std::mem::take(&mut *waiter.fetches.lock().unwrap());
        let now = self.clock.now();
        for fetch in begun {
            let another =
                self.in_flight.iter().any(|(_, since)| since.is_some_and(|since| now < since.after(OVERDUE_AFTER)));
            assert!(!another, "two fetches at once");
            self.requests += 1;
            self.in_flight.push((fetch, Some(now)));
        }
        match outcome {
            Poll::Pending => return false,
            Poll::Ready(Ok(login)) => assert!(login.token.lifetime.expires_at > self.clock.now(), "an expired token"),
            Poll::Ready(Err(_)) => self.failed += 1,
        }
        drop(self.waiters.swap_remove(index));
        true
    }

    fn answer(&mut self, index: usize, life: Option<u64>) {
        if self.in_flight.is_empty() {
            return;
        }
        let (fetch, since) = self.in_flight.swap_remove(index % self.in_flight.len());
        let life = life.map(Duration::from_secs);
        let succeeds = life.is_some_and(|life| !life.is_zero());
        let is_last = self.in_flight.iter().all(|(_, other)| *other < since);
        if since.is_some() && (succeeds || is_last) {
            self.in_flight.iter_mut().for_each(|(_, since)| *since = None);
        }
        let Some(life) = life else { return fetch.answer("simulated", Err(Error::EmptyToken)) };
        self.issued += 1;
        let text = format!("token {}", self.issued);
        let expires = self.clock.now().after(life);
        // One that comes late does not replace one that lives longer.
        let is_newer = since.is_some() || self.newest.as_ref().is_none_or(|(_, known)| *known < expires);
        if succeeds && is_newer {
            self.newest = Some((text.clone(), expires));
        }
        let expires_at = self.clock.wall() + life;
        fetch.answer("simulated", Ok(FetchedToken::new(text.into(), expires_at)));
    }

    fn poll_all(&mut self) {
        let mut index = 0;
        while index < self.waiters.len() {
            if !self.poll(index) {
                index += 1;
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Login,
    /// The server refused what the newest login got.
    Refused,
    Poll(usize),
    Cancel(usize),
    Succeed(usize, u64),
    Fail(usize),
    Abandon(usize),
    Wait(u64),
    SetWall(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Login),
        1 => Just(Step::Refused),
        4 => any::<usize>().prop_map(Step::Poll),
        1 => any::<usize>().prop_map(Step::Cancel),
        3 => (any::<usize>(), prop_oneof![Just(0u64), 20..100u64, 3000..5400u64, Just(86_400u64)])
            .prop_map(|(index, life)| Step::Succeed(index, life)),
        2 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Abandon),
        3 => prop_oneof![0..40u64, 1000..4000u64].prop_map(Step::Wait),
        1 => (-7200..7200i64).prop_map(Step::SetWall),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// One fetch at a time, no login waits beside a good token, none gets an expired one, nobody waits for ever.
    #[test]
    fn every_interleaving(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Login => drop(world.login(None)),
                Step::Refused => if let Some((text, _)) = world.newest.clone() {
                    world.login(Some(text));
                },
                Step::Poll(index) if !world.waiters.is_empty() => {
                    let index = index % world.waiters.len();
                    world.poll(index);
                }
                Step::Cancel(index) if !world.waiters.is_empty() => {
                    let index = index % world.waiters.len();
                    // A caller that goes away while it holds the duty to fetch hands it over, as `Fetch` is dropped.
                    drop(world.waiters.swap_remove(index));
                }
                Step::Succeed(index, life) => world.answer(index, Some(life)),
                Step::Fail(index) => world.answer(index, None),
                Step::Abandon(index) if !world.in_flight.is_empty() => {
                    let index = index % world.in_flight.len();
                    drop(world.in_flight.swap_remove(index));
                }
                Step::Wait(seconds) => world.clock.advance(Duration::from_secs(seconds)),
                Step::SetWall(seconds) => {
                    let (wall, jump) = (world.clock.wall(), Duration::from_secs(seconds.unsigned_abs()));
                    world.clock.set_wall(if seconds < 0 { wall - jump } else { wall + jump });
                }
                Step::Poll(_) | Step::Cancel(_) | Step::Abandon(_) => {}
            }
        }
        // The service is well again: all who still wait are served, by wake-ups alone.
        for _ in 0..20 {
            while !world.in_flight.is_empty() {
                world.answer(0, Some(3600));
            }
            world.poll_all();
        }
        prop_assert!(world.waiters.is_empty(), "{} wait for ever", world.waiters.len());
    }
}

/// Numbers that look drawn and are the same in every run.
fn drawn(seed: u64, below: u64) -> u64 {
    // SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
    let mut mixed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)) % below
}

/// One login a second for a day; `fails` says whether the request made at a second fails.
fn day(life: impl Fn(u64) -> u64, fails: impl Fn(u64) -> bool) -> World {
    let mut world = World::new();
    for second in 0..86_400 {
        world.login(None);
        while !world.in_flight.is_empty() {
            let life = life(world.requests as u64);
            world.answer(0, (!fails(second)).then_some(life));
        }
        world.poll_all();
        assert!(world.waiters.is_empty());
        world.clock.advance(Duration::from_secs(1));
    }
    world
}

#[test]
fn a_day_of_a_users_tokens_takes_48_requests_at_most() {
    let world = day(|request| 3600 + drawn(request, 1800), |_| false);
    assert_eq!(world.failed, 0);
    assert!((20..=48).contains(&world.requests), "{} requests", world.requests);
}

#[test]
fn a_day_of_a_managed_identitys_tokens_takes_two_requests() {
    assert_eq!(day(|_| 86_700, |_| false).requests, 2);
}

#[test]
fn outages_of_half_a_tokens_life_go_unnoticed() {
    // 25 minutes of every hour and a half; the token of an hour is renewed from its half on.
    let world = day(|_| 3600, |second| second % 5400 >= 3900);
    assert_eq!(world.failed, 0);
    assert!(world.requests < 200, "{} requests", world.requests);
}

#[test]
fn a_service_that_fails_every_third_time_is_asked_little_more() {
    let world = day(|_| 3600, |second| drawn(second, 3) == 0);
    assert!(world.failed <= 3, "{} logins failed, and none of them had a token yet", world.failed);
    assert!(world.requests < 90, "{} requests", world.requests);
}

#[test]
fn workers_that_share_a_token_by_fork_do_not_renew_it_together() {
    // IMDS answers five requests at once (a second each is slow for it).
    for life in [3600, 5400, 86_400] {
        let clock = TestClock::default();
        let token = Lifetime::starting(&clock, clock.wall() + Duration::from_secs(life), None).unwrap();
        for seed in 0..100 {
            let mut begins: Vec<_> = (0..32)
                .map(|worker| {
                    #[allow(clippy::cast_precision_loss, reason = "a share of a million")]
                    let spread = drawn(seed * 32 + worker, 1_000_000) as f64 / 1e6;
                    token.fresh_until(&Retry::default(), spread).since(token.obtained_at).unwrap()
                })
                .collect();
            begins.sort_unstable();
            let crowded = begins.windows(6).any(|six| six[5] < six[0] + Duration::from_secs(1));
            assert!(!crowded, "six workers within a second, life {life}, seed {seed}");
        }
    }
}
