//! Queries that do not block: whether the cache has a token, how long a copy may be used, and why no token is available.

use super::*;

fn with_token(life: u64) -> Bench {
    let bench = Bench::new();
    bench.lead().1.answer("test", Ok(bench.token("a", life)));
    bench
}

#[test]
fn a_copy_is_old_when_the_token_has_been_replaced() {
    let bench = Bench::new();
    let mut versions = vec![bench.cache.version()];
    for text in ["a", "b", "c"] {
        let (_, fetch) = bench.lead();
        assert_eq!(bench.cache.version(), versions[versions.len() - 1], "nothing has changed yet");
        fetch.answer("test", Ok(bench.token(text, 3600)));
        versions.push(bench.cache.version());
        bench.clock.advance(Duration::from_secs(3600));
    }
    versions.dedup();
    assert_eq!(versions.len(), 4);
}

#[test]
fn a_token_is_ready_until_the_end_of_its_use() {
    let bench = Bench::new();
    assert!(bench.cache.ready(SCOPE).is_none());
    assert!(!bench.cache.has_usable(SCOPE));
    bench.lead().1.answer("test", Ok(bench.token("a", 3600)));
    let (token, fetch) = bench.cache.ready(SCOPE).expect("a token");
    assert_eq!(token.secret.expose(), "a");
    assert!(fetch.is_none(), "nothing is due");
    bench.clock.advance(Duration::from_secs(3589));
    assert!(bench.cache.has_usable(SCOPE));
    let (_, fetch) = bench.cache.ready(SCOPE).expect("the token");
    assert!(fetch.is_some(), "it is due for renewal");
    bench.clock.advance(Duration::from_secs(1));
    assert!(!bench.cache.has_usable(SCOPE), "it could expire on its way to the server");
    assert!(bench.cache.ready(SCOPE).is_none());
}

#[test]
fn a_copy_may_be_kept_until_a_renewal_is_due() {
    let bench = with_token(3600);
    let start = bench.cache.now();
    assert_eq!(start, bench.clock.now());
    assert_eq!(bench.cache.look_again("another scope"), start);
    let due = bench.cache.look_again(SCOPE).since(start).expect("is yet to come");
    assert!((1800..=2160).contains(&due.as_secs()), "{due:?}: half of its life, and up to a tenth more");

    bench.clock.advance(Duration::from_secs(2400));
    let (_, renewal) = bench.ready();
    let soon = bench.clock.now().after(PEEK);
    assert_eq!(bench.cache.look_again(SCOPE), soon, "the renewal may fail");
    renewal.expect("it is due").answer("test", Err(Error::InvalidArgument("503".into())));
    let pause = Duration::from_secs(30);
    assert_eq!(bench.cache.look_again(SCOPE), bench.clock.now().after(pause));

    bench.clock.advance(Duration::from_secs(1189));
    let (_, _renewal) = bench.ready();
    bench.clock.advance(Duration::from_millis(950));
    let end = start.after(Duration::from_secs(3590));
    assert_eq!(bench.cache.look_again(SCOPE), end, "not beyond its use");
}

#[test]
fn a_login_that_succeeds_makes_the_next_refusal_the_first_again() {
    let bench = with_token(3600);
    for (refused, text) in [("a", "b"), ("b", "c")] {
        bench.replace(refused).expect("a fetch is permitted").answer("test", Ok(bench.token(text, 3600)));
        bench.cache.accepted(SCOPE);
    }
    assert!(bench.replace("c").is_some());
}

#[test]
fn every_scope_has_a_date() {
    let bench = Bench::new();
    assert!(bench.cache.expiries().is_empty());
    let (_, _fetch) = bench.lead();
    assert!(bench.cache.expiries().is_empty(), "a fetch is no token");
    let bench = with_token(3600);
    let date = bench.clock.wall() + Duration::from_secs(3600);
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(bench.cache.expiries(), [(Arc::from(SCOPE), date)]);
}

#[test]
fn a_timeout_says_what_has_become_of_the_last_token() {
    let waited = Duration::from_secs(5);
    let expired = |bench: &Bench| match bench.cache.too_late(SCOPE, waited) {
        Error::TimedOut { after, expired, .. } => {
            assert_eq!(after, waited);
            expired
        }
        other => panic!("expected a timeout, got {other:?}"),
    };
    let bench = with_token(3600);
    let date = bench.clock.wall() + Duration::from_secs(3600);
    assert_eq!(expired(&bench), None, "it is usable");
    bench.clock.advance(Duration::from_secs(3600));
    let (_, fetch) = bench.lead();
    bench.clock.advance(waited);
    assert_eq!(expired(&bench), Some((date, date)), "the request that is under way is the first");
    fetch.answer("test", Err(Error::InvalidArgument("503".into())));
    let failed = bench.clock.wall();
    bench.clock.advance(Duration::from_secs(60));
    let (_, _fetch) = bench.lead();
    bench.clock.advance(waited);
    assert_eq!(expired(&bench), Some((date, failed)), "renewing has failed since then");
    let Error::TimedOut { last: Some(last), .. } = bench.cache.too_late(SCOPE, waited) else { panic!("it has failed") };
    assert!(format!("{last:?}").contains("503"));
}

#[test]
fn every_event_is_counted_once() {
    let bench = Bench::new();
    bench.lead().1.answer("test", Err(Error::InvalidArgument("503".into())));
    bench.lead().1.answer("test", Ok(bench.token("a", 3600)));
    bench.replace("a").expect("a fetch is permitted").answer("test", Ok(bench.token("b", 3600)));
    bench.cache.stats.hit();
    let counted = stats::Snapshot { requests: 3, hits: 1, refreshes: 1, failures: 1, refusals: 1 };
    assert_eq!(bench.cache.stats.snapshot(), counted);
}
