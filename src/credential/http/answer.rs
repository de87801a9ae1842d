//! Reads the answers of token endpoints.

use std::time::SystemTime;

use azure_core::http::{RawResponse, headers::CONTENT_TYPE};
use serde_json::Value;

use super::attempt_log::AttemptLog;
use crate::{cache::FetchedToken, credential::expiry};

/// What a proxy or a sign-in page of the network answers instead of a service; `None` if the answer may be the service's.
pub fn foreign(response: &RawResponse) -> Option<&'static str> {
    let body = response.body().trim_ascii_start();
    if matches!(body, [b'{', ..]) {
        return None;
    }
    let kind = response.headers().get_optional_str(&CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let begins = |with: &str| body.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    if kind.contains("html") || begins("<html") || begins("<!doctype html") {
        return Some("a page of HTML");
    }
    matches!(u16::from(response.status()), 300..400).then_some("a redirect")
}

/// The answer as JSON.
///
/// # Errors
/// It is something else; the text shows its beginning.
pub fn json(response: &RawResponse, log: &AttemptLog) -> Result<Value, String> {
    let body = response.body();
    serde_json::from_slice(body).map_err(|_| match body.trim_ascii() {
        [] => "the answer is empty".to_owned(),
        _ => format!("the answer is not JSON: {:?}", begin_of(body, log)),
    })
}

/// The text in a field of an answer.
///
/// # Errors
/// The field is missing, empty or not a string. If it is missing, the message lists the fields that are present.
pub fn text<'a>(answer: &'a Value, name: &str) -> Result<&'a str, String> {
    let found = answer.get(name);
    found.and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or_else(|| {
        if found.is_some() {
            return format!("the answer's {name} is empty or no text");
        }
        let names = answer.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(", "));
        match names.filter(|names| !names.is_empty()) {
            Some(names) => format!("the answer holds no {name}, only: {names}"),
            None => format!("the answer holds no {name}"),
        }
    })
}

/// The token in an answer. Dates are stated by the service's clock; `log` knows its difference from this machine's.
///
/// # Errors
/// The answer holds no token, or does not say when the token expires.
pub fn token(answer: &Value, log: &AttemptLog) -> Result<FetchedToken, String> {
    let secret = text(answer, "access_token")?;
    let expires_at = expires_at(answer, secret, log).ok_or("the answer does not say when the token expires")?;
    Ok(FetchedToken::new(secret.into(), expires_at))
}

/// When the token expires, by this machine's clock.
fn expires_at(answer: &Value, secret: &str, log: &AttemptLog) -> Option<SystemTime> {
    let stated = answer.get("expires_on").and_then(expiry::date).map(|date| log.by_our_clock(date));
    // Relative, so no clock matters.
    let from_now = || SystemTime::now().checked_add(expiry::seconds(answer.get("expires_in")?)?);
    stated.or_else(from_now).or_else(|| expiry::of_token(secret).map(|date| log.by_our_clock(date)))
}

/// Return the beginning of an answer. Secrets are removed first: a part of one would not be recognized.
fn begin_of(body: &[u8], log: &AttemptLog) -> String {
    log.redacted(&String::from_utf8_lossy(body)).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use azure_core::http::{StatusCode, headers::Headers};

    use super::*;

    fn read(body: &str, log: &AttemptLog) -> Result<FetchedToken, String> {
        let response = RawResponse::from_bytes(StatusCode::Ok, Headers::new(), body.to_owned());
        token(&json(&response, log)?, log)
    }

    fn expires(body: &str) -> Result<SystemTime, String> {
        read(body, &AttemptLog::default()).map(|token| token.expires_at)
    }

    #[test]
    fn answers_of_others_than_the_service() {
        for (status, kind, body, expected) in [
            (200, "text/html; charset=utf-8", "", Some("a page of HTML")),
            (200, "Text/HTML", "Sign in", Some("a page of HTML")),
            (403, "application/xhtml+xml", "<?xml version=\"1.0\"?>", Some("a page of HTML")),
            (200, "", "\n<!DOCTYPE HTML><title>Sign in</title>", Some("a page of HTML")),
            (302, "text/html", "<html>", Some("a page of HTML")),
            (302, "", "", Some("a redirect")),
            (200, "", "", None),
            (200, "application/json", "<", None),
            // Some services and proxies declare every answer as a page.
            (401, "text/html", " {\"error\": \"invalid_client\"}", None),
        ] {
            let mut headers = Headers::new();
            headers.insert(CONTENT_TYPE, kind);
            let response = RawResponse::from_bytes(StatusCode::from(status), headers, body);
            assert_eq!(foreign(&response), expected, "{status} {kind} {body}");
        }
    }

    #[test]
    fn the_first_field_that_says_it_counts() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let jwt = r#""access_token": "e30.eyJleHAiOjE1NjA5OTk0Nzh9.x""#;
        for (fields, expected) in [
            (r#""expires_on": 1560999999, "expires_in": 60"#, 1_560_999_999),
            (r#""expires_on": "soon""#, 1_560_999_478),
        ] {
            assert_eq!(expires(&format!("{{{jwt}, {fields}}}")), Ok(at(expected)), "{fields}");
        }
        assert_eq!(expires(&format!("{{{jwt}}}")), Ok(at(1_560_999_478)));
        for fields in [r#""expires_in": "60.5""#, r#""expires_on": 0, "expires_in": 60"#] {
            let left = expires(&format!("{{{jwt}, {fields}}}")).unwrap().duration_since(SystemTime::now()).unwrap();
            assert!((59..61).contains(&left.as_secs()), "{fields}: {left:?}");
        }
    }

    #[test]
    fn an_answer_is_cut_after_its_secrets_are_removed() {
        let body = format!("{} the-identity-header", "x ".repeat(96));
        let why = read(&body, &AttemptLog::local(&"the-identity-header".into())).map(drop).unwrap_err();
        assert!(why.ends_with("x  ****\"") && !why.contains("the-"), "{why}");
    }

    #[test]
    fn answers_without_a_token() {
        for (body, expected) in [
            ("<html>", "not JSON"),
            (" \n", "the answer is empty"),
            ("[]", "holds no access_token"),
            (r#"{"access_token": null}"#, "access_token is empty or no text"),
            (r#"{"access_token": "", "expires_in": 3600}"#, "access_token is empty or no text"),
            (r#"{"token": 1}"#, "only: token"),
            (r#"{"access_token": "secret"}"#, "when the token expires"),
            (r#"{"access_token": "secret", "expires_on": "soon"}"#, "when the token expires"),
        ] {
            let why = expires(body).unwrap_err();
            assert!(why.contains(expected) && !why.contains("secret"), "{why}");
        }
    }
}
