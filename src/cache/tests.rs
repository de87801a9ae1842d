mod renewal;
mod state;

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::{
    error::{Attempt, Status},
    platform::clock::TestClock,
};

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
        FetchedToken::new(text.into(), self.clock.wall() + Duration::from_secs(life))
    }

    /// By a caller who waits for half a minute.
    fn lookup(&self) -> Lookup {
        self.lookup_within(30)
    }

    fn lookup_within(&self, seconds: u64) -> Lookup {
        self.cache.lookup(SCOPE, self.clock.now().after(Duration::from_secs(seconds)))
    }

    /// The fetch for a login whose token was refused; `None` if the login ends with the refusal.
    fn replace(&self, refused: &str) -> Option<Fetch> {
        match self.cache.replace(SCOPE, refused, self.clock.now().after(Duration::from_secs(30)))? {
            Lookup::Pending(_, Some(fetch)) => Some(fetch),
            other => panic!("expected a fetch, got {other:?}"),
        }
    }

    fn lead(&self) -> (Flight, Fetch) {
        match self.lookup() {
            Lookup::Pending(flight, Some(fetch)) => (flight, fetch),
            other => panic!("expected to lead, got {other:?}"),
        }
    }

    fn ready(&self) -> (String, Option<Fetch>) {
        match self.lookup() {
            Lookup::Ready(token, fetch) => (token.secret.expose().to_owned(), fetch),
            other => panic!("expected a token, got {other:?}"),
        }
    }
}

fn result_of(flight: &Flight) -> FetchResult {
    flight.clone().now_or_never().expect("has ended").expect("was not abandoned")
}

#[test]
fn one_leads_and_all_others_wait_for_it() {
    let bench = Bench::new();
    let (flight, fetch) = bench.lead();
    let waiters: Vec<_> = (0..100)
        .map(|_| match bench.lookup() {
            Lookup::Pending(flight, None) => flight,
            other => panic!("expected to wait, got {other:?}"),
        })
        .collect();
    fetch.answer("test", Ok(bench.token("a", 3600)));
    for waiter in waiters.iter().chain([&flight]) {
        assert_eq!(result_of(waiter).unwrap().secret.expose(), "a");
    }
    assert_eq!(bench.ready().0, "a");
}

#[test]
fn a_failure_is_shared_and_not_kept() {
    let bench = Bench::new();
    let (flight, fetch) = bench.lead();
    let Lookup::Pending(waiter, None) = bench.lookup() else { panic!("expected to wait") };
    fetch.answer("test", Err(Error::InvalidArgument("no".into())));
    assert_eq!(result_of(&flight).unwrap_err().to_string(), "no");
    assert_eq!(result_of(&waiter).unwrap_err().to_string(), "no");
    bench.lead().1.answer("test", Ok(bench.token("b", 3600)));
    assert_eq!(bench.ready().0, "b");
}

fn throttled(retry_after: Option<u64>) -> Error {
    let mut attempt = Attempt::new("test", Status::Throttled, "429");
    attempt.retry_after = retry_after.map(Duration::from_secs);
    attempt.into()
}

#[test]
fn a_service_that_throttles_is_not_asked_before_its_time() {
    let bench = Bench::new();
    bench.lead().1.answer("test", Err(throttled(Some(60))));
    bench.clock.advance(Duration::from_secs(20));
    for _ in 0..700 {
        let Lookup::Throttled(error) = bench.lookup() else { panic!("expected the last error") };
        assert!(error.to_string().contains("429"));
    }
    let Lookup::Pending(flight, Some(fetch)) = bench.lookup_within(41) else { panic!("expected to wait") };
    assert_eq!(fetch.pause(), Duration::from_secs(40));
    assert!(matches!(bench.lookup_within(50), Lookup::Pending(_, None)), "one fetch, not begun yet");
    assert!(matches!(bench.lookup_within(30), Lookup::Throttled(_)), "there is none in time for this one");
    bench.clock.advance(Duration::from_secs(65));
    assert!(matches!(bench.lookup(), Lookup::Pending(_, None)), "under way since its time");
    fetch.answer("test", Ok(bench.token("a", 3600)));
    assert_eq!(result_of(&flight).unwrap().secret.expose(), "a");
    assert_eq!(bench.ready().0, "a");
}

#[test]
fn one_that_does_not_say_for_how_long_is_left_alone_for_a_while() {
    let bench = Bench::new();
    for wait in [1, 2, 4, 8, 10, 10] {
        bench.lead().1.answer("test", Err(throttled(None)));
        assert!(matches!(bench.lookup_within(wait), Lookup::Throttled(_)));
        bench.clock.advance(Duration::from_secs(wait));
    }
    bench.lead().1.answer("test", Ok(bench.token("a", 3600)));
}

#[test]
fn a_dropped_fetch_hands_the_lead_to_a_waiter() {
    let bench = Bench::new();
    let (flight, fetch) = bench.lead();
    drop(fetch);
    let outcome = flight.now_or_never().expect("is over");
    assert!(outcome.is_none(), "waiters are told that it was abandoned");
    bench.lead();
}

#[test]
fn a_fetch_that_takes_minutes_is_the_only_one_and_serves_all_who_wait() {
    let bench = Bench::new();
    let (flight, fetch) = bench.lead();
    bench.clock.advance(OVERDUE_AFTER * 9 / 10);
    let Lookup::Pending(waiter, None) = bench.lookup() else { panic!("expected to wait") };
    fetch.answer("test", Ok(bench.token("a", 3600)));
    for waiter in [&flight, &waiter] {
        assert_eq!(result_of(waiter).unwrap().secret.expose(), "a");
    }
}

#[test]
fn whichever_fetch_of_a_flight_has_a_token_first_serves_all_who_wait() {
    for slow_first in [true, false] {
        let bench = Bench::new();
        let (flight, slow) = bench.lead();
        bench.clock.advance(OVERDUE_AFTER);
        let (later, second) = bench.lead();
        let Lookup::Pending(waiter, None) = bench.lookup() else { panic!("expected to wait") };
        let (first, last) = if slow_first { (slow, second) } else { (second, slow) };
        first.answer("test", Ok(bench.token("first", 3600)));
        for waiter in [&flight, &later, &waiter] {
            assert_eq!(result_of(waiter).unwrap().secret.expose(), "first");
        }
        last.answer("test", Ok(bench.token("older", 3000)));
        assert_eq!(bench.ready().0, "first", "an answer that comes late does not replace a newer token");
    }
}

#[test]
fn a_late_token_that_lives_longer_is_kept() {
    let bench = Bench::new();
    let (_, slow) = bench.lead();
    bench.clock.advance(OVERDUE_AFTER);
    bench.lead().1.answer("test", Ok(bench.token("first", 3000)));
    slow.answer("test", Ok(bench.token("longer", 3600)));
    assert_eq!(bench.ready().0, "longer");
}

#[test]
fn a_flight_fails_with_its_last_fetch() {
    let bench = Bench::new();
    let (flight, slow) = bench.lead();
    bench.clock.advance(OVERDUE_AFTER);
    let (_, second) = bench.lead();
    slow.answer("test", Err(Error::InvalidArgument("slow".into())));
    assert!(flight.clone().now_or_never().is_none(), "the second may have a token");
    second.answer("test", Err(Error::InvalidArgument("second".into())));
    assert_eq!(result_of(&flight).unwrap_err().to_string(), "second");
}

#[test]
fn a_flight_is_abandoned_with_its_last_fetch() {
    let bench = Bench::new();
    let (flight, slow) = bench.lead();
    bench.clock.advance(OVERDUE_AFTER);
    let (_, second) = bench.lead();
    drop(second);
    assert!(flight.clone().now_or_never().is_none(), "the first may have a token");
    slow.answer("test", Err(Error::InvalidArgument("slow".into())));
    assert!(flight.now_or_never().expect("is over").is_none(), "waiters are told that it was abandoned");
    bench.lead();
}

#[test]
fn a_refresh_is_begun_once_and_nobody_waits_for_it() {
    let bench = Bench::new();
    bench.lead().1.answer("test", Ok(bench.token("a", 3600)));
    bench.clock.advance(Duration::from_secs(2400));
    let (token, fetch) = bench.ready();
    assert_eq!(token, "a");
    let fetch = fetch.expect("past the refresh point");
    let (token, second) = bench.ready();
    assert_eq!(token, "a");
    assert!(second.is_none(), "one refresh at a time");
    fetch.answer("test", Ok(bench.token("b", 3600)));
    assert_eq!(bench.ready().0, "b");
}

#[test]
fn a_valid_token_outlives_a_failing_service() {
    let bench = Bench::new();
    bench.lead().1.answer("test", Ok(bench.token("a", 3600)));
    bench.clock.advance(Duration::from_secs(2400));
    let mut attempts = 0;
    for _ in 0..1100 {
        let (token, fetch) = bench.ready();
        assert_eq!(token, "a");
        if let Some(fetch) = fetch {
            attempts += 1;
            fetch.answer("test", Err(Error::InvalidArgument("503".into())));
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
    fetch.answer("test", Ok(bench.token("a", 0)));
    assert!(matches!(result_of(&flight), Err(Error::ExpiredOnArrival)));
}

#[test]
fn scopes_do_not_share() {
    let bench = Bench::new();
    bench.lead().1.answer("test", Ok(bench.token("a", 3600)));
    assert!(matches!(bench.cache.lookup("other", bench.clock.now()), Lookup::Pending(_, Some(_))));
}

#[test]
fn a_refused_token_is_replaced_as_soon_as_the_service_answers() {
    let bench = Bench::new();
    bench.lead().1.answer("test", Ok(bench.token("revoked", 3600)));
    // As often as logins are refused: the pause is for tokens whose successors are refused as well.
    for _ in 0..3 {
        bench
            .replace("revoked")
            .expect("a fetch is permitted")
            .answer("test", Err(Error::InvalidArgument("down".into())));
    }
    bench.replace("revoked").expect("a fetch is permitted").answer("test", Ok(bench.token("another", 3600)));
    assert_eq!(bench.ready().0, "another");
    assert!(bench.replace("another").is_none(), "the token is not the reason");
}

#[test]
fn a_token_that_others_have_left_is_no_proof_that_none_is_accepted() {
    let bench = Bench::new();
    bench.lead().1.answer("test", Ok(bench.token("revoked", 3600)));
    let left = FetchedToken { from_shared_cache: true, ..bench.token("revoked as well", 3600) };
    bench.replace("revoked").expect("a fetch is permitted").answer("test", Ok(left));
    bench
        .replace("revoked as well")
        .expect("the service has not been asked")
        .answer("test", Ok(bench.token("another", 3600)));
    assert!(bench.replace("another").is_none());
}

#[test]
fn a_credential_that_gives_a_refused_token_again_is_left_alone_for_a_while() {
    let bench = Bench::new();
    bench.lead().1.answer("test", Ok(bench.token("revoked", 3600)));
    bench.replace("revoked").expect("a fetch is permitted").answer("test", Ok(bench.token("revoked", 3600)));
    assert!(bench.replace("revoked").is_none());
}

#[test]
fn a_fetch_knows_which_tokens_it_must_not_bring() {
    let bench = Bench::new();
    let (_, fetch) = bench.lead();
    let first = bench.clock.wall();
    assert!(!fetch.unwanted().includes(&"revoked".into(), first));
    fetch.answer("test", Ok(bench.token("revoked", 3600)));
    bench.clock.advance(Duration::from_secs(60));
    let later = bench.clock.wall();
    let fetch = bench.replace("revoked").expect("a fetch is permitted");
    let includes = |fetch: &Fetch, text: &str, on| fetch.unwanted().includes(&text.into(), on);
    assert!(includes(&fetch, "revoked", later), "it has that one");
    assert!(includes(&fetch, "of another process", first), "as old, and refused perhaps");
    assert!(!includes(&fetch, "of another process", later), "obtained since");
    fetch.answer("test", Ok(bench.token("another", 60)));
    bench.clock.advance(Duration::from_secs(60));
    let (_, fetch) = bench.lead();
    assert!(includes(&fetch, "revoked", first), "not later either");
    assert!(includes(&fetch, "another", later) && !includes(&fetch, "of another process", later));
}
