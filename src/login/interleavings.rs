//! Logins, the cache and single flight under shuttle: see [`crate::platform::sync`].

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::FutureExt;
use shuttle::{check_pct, check_random, future::block_on, thread};

use super::{Fetches, LoginRequest, Logins};
use crate::{
    cache::{FetchedToken, Lookup, TokenCache},
    error::Error,
    platform::{
        clock::{Clock, TestClock},
        sync::AtomicU64,
    },
};

const SCOPE: &str = "scope";
/// How often each test runs, with another order of events each time.
const RUNS: usize = 1_000;
const CALLERS: usize = 3;

fn check(test: fn()) {
    check_random(test, RUNS);
    // Few switches at unlikely moments, instead of many at all of them.
    check_pct(test, RUNS, 3);
}

fn token(clock: &TestClock, life: u64) -> FetchedToken {
    FetchedToken::new("token".into(), clock.wall() + Duration::from_secs(life))
}

fn request() -> LoginRequest {
    LoginRequest { scope: SCOPE.into(), user_known: true, instead_of: None, deadline: Arc::default() }
}

/// What becomes of the fetch that a caller is handed.
#[derive(Clone, Copy, PartialEq)]
enum Fetching {
    Answered,
    /// Its caller goes away, as a task that is cancelled does.
    Abandoned,
    Failed,
}

/// Log in as Python does: poll, then make the fetches that have begun, each on a thread of its own.
fn log_in(logins: &Arc<Logins>, clock: &Arc<TestClock>, asked: &Arc<AtomicU64>, mut fetching: Fetching) -> bool {
    let fetches = Fetches::default();
    let mut future = Arc::clone(logins).login(request(), Arc::clone(&fetches)).boxed();
    block_on(poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        for fetch in std::mem::take(&mut *fetches.lock().unwrap()) {
            let (clock, asked, how) = (Arc::clone(clock), Arc::clone(asked), fetching);
            // A caller that takes over does better.
            fetching = Fetching::Answered;
            thread::spawn(move || {
                asked.fetch_add(1, Ordering::Relaxed);
                match how {
                    Fetching::Answered => fetch.answer("test", Ok(token(&clock, 3600))),
                    Fetching::Failed => fetch.answer("test", Err(Error::EmptyToken)),
                    Fetching::Abandoned => drop(fetch),
                }
            });
        }
        polled
    }))
    .is_ok()
}

/// Callers on threads of their own; return how many of them logged in, and how often the service was asked.
fn callers(first: Fetching) -> (usize, u64) {
    let clock = Arc::new(TestClock::default());
    let logins = Arc::new(Logins::new(clock.clone()));
    let asked = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (logins, clock, asked) = (Arc::clone(&logins), Arc::clone(&clock), Arc::clone(&asked));
            let fetching = if caller == 0 { first } else { Fetching::Answered };
            thread::spawn(move || log_in(&logins, &clock, &asked, fetching))
        })
        .collect();
    let logged_in = threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum();
    (logged_in, asked.load(Ordering::Relaxed))
}

#[test]
fn one_fetch_wakes_everybody() {
    check(|| assert_eq!(callers(Fetching::Answered), (CALLERS, 1)));
}

#[test]
fn a_waiter_takes_over_from_a_caller_that_goes_away() {
    check(|| {
        let (logged_in, asked) = callers(Fetching::Abandoned);
        assert_eq!(logged_in, CALLERS);
        assert!((1..=2).contains(&asked), "asked {asked} times");
    });
}

#[test]
fn a_failure_is_for_those_who_waited_and_for_nobody_later() {
    check(|| {
        let (logged_in, asked) = callers(Fetching::Failed);
        // The first caller's fetch fails, unless another caller's answer came before.
        match asked {
            1 => assert!(logged_in == CALLERS || logged_in == 0, "{logged_in} logged in"),
            2 => assert!((1..CALLERS).contains(&logged_in), "{logged_in} logged in"),
            _ => panic!("asked {asked} times"),
        }
    });
}

#[test]
fn refused_tokens_are_replaced_once() {
    check(|| {
        let clock = Arc::new(TestClock::default());
        let cache = TokenCache::new(clock.clone());
        let deadline = clock.now().after(Duration::from_secs(30));
        let Lookup::Pending(_, Some(fetch)) = cache.lookup(SCOPE, deadline) else { panic!("the first fetches") };
        fetch.answer("test", Ok(token(&clock, 3600)));
        let threads: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (cache, clock) = (Arc::clone(&cache), Arc::clone(&clock));
                thread::spawn(move || match cache.replace(SCOPE, "token", deadline) {
                    Some(Lookup::Ready(token, _)) => token.secret.expose().to_owned(),
                    Some(Lookup::Pending(flight, fetch)) => {
                        if let Some(fetch) = fetch {
                            let fetched = FetchedToken::new("another".into(), clock.wall() + Duration::from_secs(3601));
                            thread::spawn(move || fetch.answer("test", Ok(fetched)));
                        }
                        block_on(flight).unwrap().unwrap().secret.expose().to_owned()
                    }
                    other => panic!("{other:?}"),
                })
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), "another");
        }
        assert_eq!(cache.stats.snapshot().requests, 2);
    });
}

/// The check can fail: a waiter whose wake-up is dropped waits for ever.
#[test]
#[should_panic(expected = "deadlock")]
fn a_lost_wake_up_is_found() {
    check_random(
        || {
            let clock = Arc::new(TestClock::default());
            let cache = TokenCache::new(clock.clone());
            let Lookup::Pending(mut flight, Some(fetch)) = cache.lookup(SCOPE, clock.now()) else { panic!("a fetch") };
            thread::spawn(move || fetch.answer("test", Ok(token(&clock, 3600))));
            let result = block_on(poll_fn(|_| match flight.poll_unpin(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => Poll::Pending,
                ended => ended,
            }));
            assert!(result.unwrap().is_ok());
        },
        RUNS,
    );
}

/// The check can fail: a caller that leaves its fetch to nobody has all others wait for ever.
#[test]
#[should_panic(expected = "deadlock")]
fn a_fetch_that_is_never_made_is_found() {
    check_random(
        || {
            let clock = Arc::new(TestClock::default());
            let cache = TokenCache::new(clock.clone());
            let threads: Vec<_> = (0..CALLERS)
                .map(|_| {
                    let (cache, now) = (Arc::clone(&cache), clock.now());
                    thread::spawn(move || match cache.lookup(SCOPE, now) {
                        Lookup::Pending(flight, fetch) => {
                            std::mem::forget(fetch);
                            block_on(flight)
                        }
                        _ => None,
                    })
                })
                .collect();
            for thread in threads {
                let _ = thread.join();
            }
        },
        1,
    );
}
