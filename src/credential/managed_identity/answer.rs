//! Reads the hosts' answers.

use std::time::SystemTime;

use azure_core::http::RawResponse;
use serde_json::Value;

use crate::{
    cache::FetchedToken,
    credential::{expiry, http::attempt_log::AttemptLog},
};

/// Read the token. Dates are stated by the host's clock; `log` knows its difference from this machine's.
///
/// # Errors
/// There is none; the text is the host's message.
pub fn token(response: &RawResponse, log: &AttemptLog) -> Result<FetchedToken, String> {
    let status = u16::from(response.status());
    let Ok(answer) = serde_json::from_slice::<Value>(response.body()) else {
        return Err(format!("the answer is not JSON: {:?}", begin_of(response.body(), log)));
    };
    if !response.status().is_success() {
        return Err(complaint(status, &answer).unwrap_or_else(|| format!("the request failed: {answer}")));
    }
    let Some(secret) = answer.get("access_token").and_then(Value::as_str) else {
        let names = answer.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(", "));
        return Err(format!("the answer holds no access_token, only: {}", names.unwrap_or_default()));
    };
    let expires_at = expires_at(&answer, secret, log).ok_or("the answer does not say when the token expires")?;
    Ok(FetchedToken::new(secret.into(), expires_at))
}

/// The host's message, in whichever field it is.
fn complaint(status: u16, answer: &Value) -> Option<String> {
    let words = ["/error_description", "/error/message", "/message", "/Message", "/error"]
        .iter()
        .find_map(|pointer| answer.pointer(pointer)?.as_str())?;
    // IMDS says "Identity not found".
    let prefix = if status == 400 { "the requested identity has not been assigned to this resource: " } else { "" };
    Some(format!("{prefix}{words}"))
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

    fn expires(body: &str) -> Result<SystemTime, String> {
        let response = RawResponse::from_bytes(StatusCode::Ok, Headers::new(), body.to_owned());
        token(&response, &AttemptLog::default()).map(|token| token.expires_at)
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
        let response = RawResponse::from_bytes(StatusCode::Ok, Headers::new(), body);
        let why = token(&response, &AttemptLog::local(&"the-identity-header".into())).map(drop).unwrap_err();
        assert!(why.ends_with("x  ****\"") && !why.contains("the-"), "{why}");
    }

    #[test]
    fn answers_without_a_token() {
        for (body, expected) in [
            ("<html>", "not JSON"),
            (r#"{"token": 1}"#, "only: token"),
            (r#"{"access_token": "secret"}"#, "when the token expires"),
            (r#"{"access_token": "secret", "expires_on": "soon"}"#, "when the token expires"),
        ] {
            let why = expires(body).unwrap_err();
            assert!(why.contains(expected) && !why.contains("secret"), "{why}");
        }
    }
}
