//! What the fuzzer checks of credentials: that nothing that a service, a tool or a file says makes them fail otherwise than
//! with an error, send a secret elsewhere, or show one.

mod answers;
mod certificates;

pub use answers::check as answers;
pub use certificates::check as certificates;

pub use super::{developer_tools::fuzz::check as tools, shared_cache::fuzz::check as shared_cache};
use crate::{
    cache::{FetchedToken, policy::Lifetime},
    error::{Error, date},
    platform::clock::SystemClock,
};

/// A token as services give them, which `{token}` in an input stands for.
pub(super) const TOKEN: &str =
    "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDAsIm9pZCI6IjEifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbi10aGF0LWlzLXNlY3JldA";
/// Its end, which no text shows.
const SIGNATURE: &str = "c2lnbmF0dXJlLW9mLXRoZS10b2tlbi10aGF0LWlzLXNlY3JldA";

/// Check what became of a fetch.
pub(super) fn check_outcome(outcome: &Result<FetchedToken, Error>, secrets: &[&str]) {
    match outcome {
        Ok(token) => {
            assert_silent(&format!("{token:?}"), &[&[token.secret.expose()], secrets].concat());
            if let Some(life) = Lifetime::starting(&SystemClock, token.expires_at, token.refresh_at) {
                // For the log.
                let _ = date(life.expires_on);
            }
        }
        Err(error) => {
            assert_silent(&format!("{error}\n{error:?}\n{:?}", error.report()), secrets);
            assert!(error.to_string().chars().count() < 5_000, "an error is long");
        }
    }
}

/// Check that a text shows no secret, however it is encoded.
pub(super) fn assert_silent(text: &str, secrets: &[&str]) {
    let unescaped = unescaped(text);
    let texts =
        [text.to_owned(), percent_decoded(text), self::unescaped(&unescaped), percent_decoded(&unescaped), unescaped];
    for secret in [&[SIGNATURE], secrets].concat().into_iter().filter(|secret| secret.len() > 8) {
        assert!(!texts.iter().any(|text| text.contains(secret)), "{secret} is shown: {text}");
    }
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// A text without JSON's escapes.
fn unescaped(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after.strip_prefix('u').and_then(|hex| u32::from_str_radix(hex.get(..4)?, 16).ok());
        if let Some(letter) = code.and_then(char::from_u32) {
            plain.push(letter);
            rest = &after[5..];
        } else {
            let letter = after.chars().next();
            plain.extend(letter);
            rest = &after[letter.map_or(0, char::len_utf8)..];
        }
    }
    plain + rest
}
