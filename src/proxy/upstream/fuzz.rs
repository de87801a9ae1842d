//! What the fuzzer checks of servers: whatever one says during a login, it gets the token when it asks for a password and only
//! then, and the client gets the server's messages and no more.

#![allow(clippy::expect_used, reason = "a panic is how a target fails")]

use std::{
    io::{Read, Write},
    path::Path,
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::runtime::Runtime;

use super::{
    super::{
        Server,
        cancel::CancelKeys,
        channel::Channel,
        failure::Failure,
        metrics::Counters,
        tls,
        wire::{first_message, hide},
    },
    RecentAddress,
    login::{self, Answer},
};
use crate::{
    cache::{AccessToken, policy::Lifetime},
    platform::{
        clock::{Clock, SystemClock},
        stream::Stream,
    },
};

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJvaWQiOiIxIn0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg";
const STARTUP: &[u8] = b"startup message";

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let roots = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/azure_postgresql_auth/azure_roots.pem");
    Server {
        name: "default".to_owned(),
        host: "srv.example.com".to_owned(),
        port: 5432,
        scope: "scope".into(),
        tls: tls::towards_servers(&roots).expect("the file holds certificates").into(),
        roots,
        tls_name: "srv.example.com".to_owned().try_into().expect("it is a name"),
        counters: Counters::default(),
        keys: CancelKeys::default(),
        recent_address: RecentAddress::default(),
    }
});

fn token() -> AccessToken {
    let expires_on = SystemClock.wall() + Duration::from_secs(3600);
    AccessToken {
        secret: TOKEN.into(),
        lifetime: Lifetime::starting(&SystemClock, expires_on, None).expect("it lives for an hour"),
        from_shared_cache: false,
        principal: OnceLock::new(),
    }
}

/// Log in to a server that sends `input`, over a connection that stands for one that TLS protects.
///
/// # Panics
/// A property does not hold.
pub fn check(input: &[u8]) {
    thread_local! {
        static RUNTIME: Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there are descriptors");
    }
    // What the socket holds; the server here has stopped reading and writing before the login begins.
    let input = &input[..input.len().min(64 * 1024)];
    let (ours, mut theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None).expect("there are descriptors");
    theirs.write_all(input).expect("the socket has room");
    theirs.shutdown(std::net::Shutdown::Write).expect("it is open");
    let outcome = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let mut channel = Channel::new(Stream::new(ours).expect("it is open"));
            login::log_in(&mut channel, &SERVER, STARTUP, &token()).await
        })
    });
    let mut sent = Vec::new();
    theirs.read_to_end(&mut sent).expect("it is open");
    let after_startup = sent.strip_prefix(STARTUP).expect("the startup message comes first");
    let password =
        [&b"p"[..], &u32::try_from(TOKEN.len() + 5).unwrap_or_default().to_be_bytes(), TOKEN.as_bytes(), b"\0"]
            .concat();
    let mut expected = expected(input);
    if let Some(messages) = &mut expected.accepted {
        hide(messages, TOKEN.as_bytes());
    }
    assert_eq!(after_startup, if expected.asked { &password[..] } else { b"" }, "the token is the answer to a request");
    let (messages, text) = match &outcome {
        Ok(Answer::Accepted(messages)) => {
            assert_eq!(Some(messages), expected.accepted.as_ref(), "the client gets the server's messages");
            (messages.clone(), String::new())
        }
        Ok(Answer::Refused(refusal)) => {
            assert!(expected.accepted.is_none());
            (refusal.messages.clone(), format!("{} {}", refusal.sqlstate, refusal.text))
        }
        Err(failure) => {
            assert!(expected.accepted.is_none() && !matches!(failure, Failure::Gone(_)), "{failure:?}");
            (failure.messages(), format!("{} {failure:?}", failure.text()))
        }
    };
    let has_token = |bytes: &[u8]| bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
    assert!(!has_token(&messages) && !has_token(text.as_bytes()), "the token is shown: {text}");
    // A server that has the token can send parts of it back.
    if !input.windows(16).any(|part| TOKEN.as_bytes().windows(16).any(|of_token| part == of_token)) {
        let shows =
            |bytes: &[u8]| bytes.windows(16).any(|part| TOKEN.as_bytes().windows(16).any(|of_token| part == of_token));
        assert!(!shows(&messages) && !shows(text.as_bytes()), "the token is shown: {text}");
    }
}

#[derive(Default)]
struct Expected {
    /// The server asks for a password.
    asked: bool,
    /// What the client gets if the server accepts the login.
    accepted: Option<Vec<u8>>,
}

/// The same from a buffer that holds everything.
fn expected(input: &[u8]) -> Expected {
    let (mut expected, mut passed, mut rest) = (Expected::default(), Vec::new(), input);
    while let Ok(Some(message)) = first_message(rest, 64 * 1024) {
        let (bytes, after) = rest.split_at(message.length);
        rest = after;
        match (message.kind, message.body.first_chunk::<4>()) {
            (b'R', Some([0, 0, 0, 0])) => {
                expected.accepted = Some([&passed, bytes, rest].concat());
                return expected;
            }
            (b'R', Some([0, 0, 0, 3])) if !expected.asked => expected.asked = true,
            (b'N' | b'v', _) => passed.extend_from_slice(bytes),
            _ => return expected,
        }
    }
    expected
}
