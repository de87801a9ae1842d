//! What the headers of an answer say.

use std::time::{Duration, SystemTime};

use azure_core::{
    http::headers::{HeaderName, Headers, RETRY_AFTER},
    time::parse_rfc7231,
};

/// Services state minutes at most. A longer time is a mistake, and must not keep a process from logging in.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// `Retry-After` in seconds or as a date by the server's own clock (RFC 9110, 10.2.3).
pub fn retry_after(headers: &Headers, now: SystemTime) -> Option<Duration> {
    let seconds = headers.get_optional_str(&RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs);
    let now = date(headers, &HeaderName::from_static("date")).unwrap_or(now);
    let stated = seconds.or_else(|| date(headers, &RETRY_AFTER)?.duration_since(now).ok())?;
    Some(stated.min(LONGEST_RETRY_AFTER))
}

/// The date that a header states.
pub fn date(headers: &Headers, name: &HeaderName) -> Option<SystemTime> {
    parse_rfc7231(headers.get_optional_str(name)?).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_given_in_seconds_or_until_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (value, wait) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Fri, 15 Jan 2027 08:00:30 GMT", Some(30)),
            ("Fri, 15 Jan 2027 07:00:00 GMT", None),
            ("soon", None),
            ("-1", None),
            ("86400", Some(3600)),
            ("Wed, 25 Nov 2099 00:00:00 GMT", Some(3600)),
        ] {
            let mut headers = Headers::new();
            headers.insert(RETRY_AFTER, value);
            assert_eq!(retry_after(&headers, now), wait.map(Duration::from_secs), "{value}");
        }
        // This machine's clock is 10 minutes ahead.
        let mut headers = Headers::new();
        headers.insert("date", "Fri, 15 Jan 2027 07:50:00 GMT");
        headers.insert(RETRY_AFTER, "Fri, 15 Jan 2027 07:50:30 GMT");
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(&Headers::new(), now), None);
    }
}
