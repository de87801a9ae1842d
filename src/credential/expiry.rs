//! Reads when a token expires, in all forms in which services, tools and tokens state it.

use std::{
    marker::PhantomData,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value};

use crate::login::claims;

/// The date in a field such as `expires_on`: seconds since 1970, whole or not, as a number or as text; RFC 3339, without an
/// offset in UTC; or App Service's notation of 2017. Dates before 1970 are ignored, as in azure-identity.
#[must_use]
pub fn date(value: &Value) -> Option<SystemTime> {
    let dated = |text: &str| rfc3339(text).or_else(|| app_service(text));
    let since = seconds(value).or_else(|| dated(value.as_str()?.trim()))?;
    (!since.is_zero()).then(|| UNIX_EPOCH.checked_add(since))?
}

/// The seconds in a field such as `expires_in`.
#[must_use]
pub fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The token's own expiry, if it is a JWT.
#[must_use]
pub fn of_token(token: &str) -> Option<SystemTime> {
    let payload = claims::payload(token).ok()?;
    date(claims::object(&payload, PhantomData::<Map<String, Value>>).ok()?.get("exp")?)
}

/// `2019-06-20T02:57:58.5Z`, or with a space, or without the Z.
fn rfc3339(text: &str) -> Option<Duration> {
    let text = text.replacen(' ', "T", 1);
    let moment =
        [text.clone(), format!("{text}Z")].iter().find_map(|text| azure_core::time::parse_rfc3339(text).ok())?;
    SystemTime::from(moment).duration_since(UNIX_EPOCH).ok()
}

/// App Service's protocol of 2017 writes `06/20/2019 02:57:58 +00:00`, on Windows `1/16/2020 5:24:12 AM +00:00`.
fn app_service(text: &str) -> Option<Duration> {
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
    rfc3339(&format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_all_their_forms() {
        for (form, expected) in [
            ("\"1560999478\"", Some(1_560_999_478.0)),
            ("\" 1560999478 \"", Some(1_560_999_478.0)),
            ("1560999478", Some(1_560_999_478.0)),
            ("1560999478.5", Some(1_560_999_478.5)),
            ("\"1560999478.25\"", Some(1_560_999_478.25)),
            ("\"06/20/2019 02:57:58 +00:00\"", Some(1_560_999_478.0)),
            ("\"6/20/2019 2:57:58 AM +00:00\"", Some(1_560_999_478.0)),
            ("\"6/20/2019 2:57:58 PM +00:00\"", Some(1_561_042_678.0)),
            ("\"6/20/2019 12:57:58 AM +00:00\"", Some(1_560_992_278.0)),
            ("\"2019-06-20T02:57:58Z\"", Some(1_560_999_478.0)),
            ("\"2019-06-20T02:57:58.5+00:00\"", Some(1_560_999_478.5)),
            ("\"2019-06-20T04:57:58+02:00\"", Some(1_560_999_478.0)),
            ("\"2019-06-20 02:57:58\"", Some(1_560_999_478.0)),
            ("\"soon\"", None),
            ("\"\"", None),
            ("\"inf\"", None),
            ("0", None),
            ("-1", None),
            ("1e300", None),
            ("null", None),
            ("[]", None),
        ] {
            let found = date(&serde_json::from_str(form).unwrap());
            let expected = expected.map(|seconds| UNIX_EPOCH + Duration::from_secs_f64(seconds));
            assert_eq!(found, expected, "{form}");
        }
    }

    #[test]
    fn a_token_says_it_itself() {
        // {"exp":1560999478}
        assert_eq!(of_token("e30.eyJleHAiOjE1NjA5OTk0Nzh9.x"), Some(UNIX_EPOCH + Duration::from_secs(1_560_999_478)));
        assert_eq!(of_token("e30.e30.x"), None);
        assert_eq!(of_token("opaque"), None);
    }
}
