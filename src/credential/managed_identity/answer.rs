//! What the hosts answer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use azure_core::http::RawResponse;
use serde_json::Value;

use super::super::developer_tool;
use crate::cache::FetchedToken;

/// The token.
///
/// # Errors
/// There is none; says what the host said instead.
pub fn token(response: &RawResponse) -> Result<FetchedToken, String> {
    let status = u16::from(response.status());
    let Ok(answer) = serde_json::from_slice::<Value>(response.body()) else {
        return Err(format!("the answer is no JSON: {:?}", begin_of(response.body())));
    };
    if !response.status().is_success() {
        return Err(complaint(status, &answer).unwrap_or_else(|| format!("the request failed: {answer}")));
    }
    let Some(secret) = answer.get("access_token").and_then(Value::as_str) else {
        let names = answer.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(", "));
        return Err(format!("the answer holds no access_token, only: {}", names.unwrap_or_default()));
    };
    let expires_at = expiry(&answer).ok_or("the answer does not tell when the token expires")?;
    Ok(FetchedToken { secret: secret.into(), expires_at, refresh_at: None })
}

/// The host's own words, wherever it puts them.
fn complaint(status: u16, answer: &Value) -> Option<String> {
    let words = ["/error_description", "/error/message", "/message", "/Message", "/error"]
        .iter()
        .find_map(|pointer| answer.pointer(pointer)?.as_str())?;
    // IMDS' words for this are "Identity not found".
    let prefix = if status == 400 { "the requested identity has not been assigned to this resource: " } else { "" };
    Some(format!("{prefix}{words}"))
}

fn expiry(answer: &Value) -> Option<SystemTime> {
    let seconds = |name: &str| {
        let value = answer.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
    };
    let on = seconds("expires_on").or_else(|| date(answer.get("expires_on")?.as_str()?));
    match on {
        Some(on) => UNIX_EPOCH.checked_add(Duration::from_secs(on)),
        None => SystemTime::now().checked_add(Duration::from_secs(seconds("expires_in")?)),
    }
}

/// App Service's protocol of 2017 writes "06/20/2019 02:57:58 +00:00", on Windows "1/16/2020 5:24:12 AM +00:00".
fn date(text: &str) -> Option<u64> {
    let mut parts = text.strip_suffix(" +00:00")?.split(' ');
    let (day, time, half) = (parts.next()?, parts.next()?, parts.next());
    let numbers = |text: &str, separator| text.split(separator).map(str::parse).collect::<Result<Vec<u32>, _>>().ok();
    let [month, day, year] = numbers(day, '/')?[..] else { return None };
    let [hour, minute, second] = numbers(time, ':')?[..] else { return None };
    let hour = match half {
        None => hour,
        Some("AM") => hour % 12,
        Some("PM") => hour % 12 + 12,
        Some(_) => return None,
    };
    developer_tool::moment(&format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

fn begin_of(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use azure_core::http::{StatusCode, headers::Headers};

    use super::*;

    fn expires(body: &str) -> Result<u64, String> {
        let response = RawResponse::from_bytes(StatusCode::Ok, Headers::new(), body.to_owned());
        token(&response).map(|token| token.expires_at.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn expiries_in_all_their_forms() {
        for (form, seconds) in [
            ("\"1560999478\"", 1_560_999_478),
            ("1560999478", 1_560_999_478),
            ("\"06/20/2019 02:57:58 +00:00\"", 1_560_999_478),
            ("\"6/20/2019 2:57:58 AM +00:00\"", 1_560_999_478),
            ("\"6/20/2019 2:57:58 PM +00:00\"", 1_561_042_678),
            ("\"6/20/2019 12:57:58 AM +00:00\"", 1_560_992_278),
        ] {
            assert_eq!(expires(&format!(r#"{{"access_token": "t", "expires_on": {form}}}"#)), Ok(seconds), "{form}");
        }
        assert!(expires(r#"{"access_token": "t", "expires_in": "60"}"#).unwrap() > 1_700_000_000);
    }

    #[test]
    fn answers_without_a_token() {
        for (body, expected) in [
            ("<html>", "no JSON"),
            (r#"{"token": 1}"#, "only: token"),
            (r#"{"access_token": "secret"}"#, "when the token expires"),
            (r#"{"access_token": "secret", "expires_on": "soon"}"#, "when the token expires"),
        ] {
            let why = expires(body).unwrap_err();
            assert!(why.contains(expected) && !why.contains("secret"), "{why}");
        }
    }
}
