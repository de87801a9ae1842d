//! How the answer to a renewal changes the token, the counters and the errors of later logins.

use super::*;

/// The fetch that renews a token of which 1,200 seconds are left.
fn renewal(bench: &Bench) -> Fetch {
    bench.lead().1.answer("test", Ok(bench.token("a", 3600)));
    bench.clock.advance(Duration::from_secs(2400));
    bench.ready().1.expect("it is due")
}

#[test]
fn only_another_token_that_lives_longer_is_a_renewal() {
    for (text, life, renewals) in [("a", 1200, 0), ("a", 3600, 0), ("b", 1200, 0), ("b", 1201, 1), ("b", 3600, 1)] {
        let bench = Bench::new();
        renewal(&bench).answer("test", Ok(bench.token(text, life)));
        assert_eq!(bench.cache.stats.snapshot().refreshes, renewals, "{text} {life}");
        assert_eq!(bench.ready().0, text);
    }
}

#[test]
fn another_token_is_a_renewal_whatever_its_life_if_the_first_was_refused() {
    let bench = Bench::new();
    bench.lead().1.answer("test", Ok(bench.token("a", 3600)));
    bench.replace("a").expect("a fetch is permitted").answer("test", Ok(bench.token("b", 3600)));
    assert_eq!(bench.cache.stats.snapshot().refreshes, 1);
}

#[test]
fn a_failed_renewal_is_told_with_its_history_once_the_token_has_expired() {
    let bench = Bench::new();
    let fetch = renewal(&bench);
    let flight = fetch.flight().clone();
    let failing_since = bench.clock.wall();
    fetch.answer("test", Err(Error::InvalidArgument("503".into())));
    assert!(matches!(result_of(&flight), Err(Error::InvalidArgument(_))), "the token at hand is good");

    bench.clock.advance(Duration::from_secs(1200));
    let (flight, fetch) = bench.lead();
    fetch.answer("test", Err(Error::InvalidArgument("503".into())));
    match result_of(&flight) {
        Err(Error::RenewalFails { expired_on, since, attempts, .. }) => {
            assert_eq!((expired_on, since, attempts), (bench.clock.wall(), failing_since, 2));
        }
        other => panic!("expected the history, got {other:?}"),
    }
}

#[test]
fn whoever_cannot_wait_for_the_end_hears_how_far_it_is() {
    let bench = Bench::new();
    let (_, fetch) = bench.lead();
    for report in [None, Some("127.0.0.1 answered 503 (requests: 1)"), Some("127.0.0.1 answered 503 (requests: 2)")] {
        if let Some(report) = report {
            fetch.progress().report(report.to_owned());
        }
        match bench.cache.too_late(SCOPE, Duration::from_secs(5)) {
            Error::TimedOut { progress, .. } => assert_eq!(progress.as_deref(), report),
            other => panic!("expected a timeout, got {other:?}"),
        }
    }
}
