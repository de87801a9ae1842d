//! What the micro-benchmarks time and the counts count: each function prepares an operation and gives it, to be repeated.

#![allow(clippy::expect_used, reason = "a measurement that cannot begin has no other answer")]

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use _core::{
    cache::{FetchedToken, policy},
    login::{Fetches, Login, LoginRequest, Logins, claims::Claims, principal::principal_name},
    platform::clock::{Clock, SystemClock},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

const SCOPE: &str = "https://ossrdbms-aad.database.windows.net/.default";
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// A user's token of about so many kilobytes: what makes some long are the groups that the user is in.
fn token(kilobytes: usize) -> String {
    let signature = "s".repeat(342);
    let header = URL_SAFE_NO_PAD.encode(json!({"typ": "JWT", "alg": "RS256", "x5t": "x".repeat(27)}).to_string());
    let id = |number: usize| format!("00000000-1111-2222-3333-{number:012}");
    let with_groups = |count: usize| {
        let mut claims = json!({
            "aud": "https://ossrdbms-aad.database.windows.net", "iss": format!("https://sts.windows.net/{}/", id(1)),
            "iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_086_400, "appid": id(2), "oid": id(3),
            "tid": id(1), "sub": "s".repeat(43), "upn": "jane.doe@contoso.example", "ver": "1.0",
        });
        if count > 0 {
            claims["groups"] = (0..count).map(id).collect();
        }
        format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string()))
    };
    (0..1000).map(with_groups).find(|token| token.len() >= kilobytes * 1024 - 64).expect("some number of groups does")
}

/// Reads the claims of a token.
pub fn claims(kilobytes: usize) -> impl Fn() + Sync {
    let token = token(kilobytes);
    move || drop(black_box(Claims::of_token(black_box(&token))))
}

/// Finds the role's name among claims.
pub fn name() -> impl Fn() + Sync {
    let claims = Claims::of_token(&token(2)).expect("is a token");
    move || {
        black_box(principal_name(black_box(&claims)));
    }
}

/// Decides about a cached token.
pub fn decision() -> impl Fn() + Sync {
    let clock = SystemClock;
    let life = policy::Lifetime::starting(&clock, clock.wall() + LIFE, None).expect("has a life");
    let (retry, now) = (policy::Retry::default(), clock.now());
    move || {
        black_box(policy::decide(black_box(&life), black_box(&retry), black_box(now), 0.5));
    }
}

/// Looks a token up among those of several scopes.
pub fn cached_token(scopes: usize) -> impl Fn() + Sync {
    let logins = Arc::new(Logins::new(Arc::new(SystemClock)));
    let text = token(2);
    let scope = |number| if number == 0 { SCOPE.to_owned() } else { format!("https://service-{number}.test/.default") };
    for number in 0..scopes {
        log_in(&logins, &scope(number), &text);
    }
    move || drop(black_box(logins.tokens.ready(black_box(SCOPE))))
}

/// A login that needs nothing that is not cached.
pub fn cached_login() -> impl Fn() + Sync {
    let logins = Arc::new(Logins::new(Arc::new(SystemClock)));
    log_in(&logins, SCOPE, &token(2));
    move || drop(black_box(logins.cached(black_box(SCOPE), false)))
}

/// The first login with a credential, whose identity service answers at once.
pub fn cold_login() -> impl Fn() + Sync {
    let text = token(2);
    move || drop(black_box(log_in(&Arc::new(Logins::new(Arc::new(SystemClock))), SCOPE, black_box(&text))))
}

fn log_in(logins: &Arc<Logins>, scope: &str, token: &str) -> Login {
    let request = LoginRequest { scope: scope.into(), user_known: false, instead_of: None, deadline: Arc::default() };
    let fetches = Fetches::default();
    let mut login = pin!(Arc::clone(logins).login(request, Arc::clone(&fetches)));
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(login) = login.as_mut().poll(&mut context) {
            return login.expect("the service answers");
        }
        let fetches = std::mem::take(&mut *fetches.lock().expect("no other thread has it"));
        for fetch in fetches {
            let answer = FetchedToken::new(token.into(), SystemTime::now() + LIFE);
            fetch.answer("benchmark", Ok(answer));
        }
    }
}
