//! When a request to a host is retried.

use std::time::Duration;

use azure_core::http::RawResponse;

use super::host::Host;
use crate::{
    cache::policy::spread,
    credential::http::{cause::was_refused, transport::LONGEST_PAUSE},
};

/// Transient statuses.
const PASSING: [u16; 6] = [408, 429, 500, 502, 503, 504];
/// IMDS' transient statuses, by its documentation: 404 and 410 pass within about a minute.
const PASSING_IN_IMDS: [u16; 8] = [404, 410, 429, 500, 501, 502, 503, 504];
/// The longest pause before another attempt at an endpoint that refuses connections.
const NOT_UP_YET: Duration = Duration::from_secs(2);

/// The pause before the request is retried; `None` if that does not help.
///
/// # Arguments
/// * `attempt`: the number of attempts before this one
/// * `stated`: the answer's `Retry-After`
pub fn pause(
    host: &Host,
    outcome: &azure_core::Result<RawResponse>,
    attempt: u32,
    stated: Option<Duration>,
) -> Option<Duration> {
    let (passing, first, at_most): (&[u16], _, _) = match host {
        Host::Imds { .. } => (&PASSING_IN_IMDS, Duration::from_millis(1340), 6),
        _ => (&PASSING, Duration::from_millis(200), 3),
    };
    let doubled = |first: Duration| first * 2u32.saturating_pow(attempt.min(8));
    let pause = match outcome {
        Ok(response) => {
            let passes = passing.contains(&u16::from(response.status())) && host.is_answered_by(response);
            // If the service asks for a longer pause, the caller gets the error at once instead of waiting.
            let is_short = stated.is_none_or(|stated| stated <= LONGEST_PAUSE);
            (passes && is_short && attempt < at_most).then(|| doubled(first).max(stated.unwrap_or_default()))
        }
        // A sidecar that starts beside the program, as in Container Apps (azure-container-apps#568), and the proxies that
        // replace IMDS in Kubernetes: the environment promises the endpoint, so it is retried while time is left.
        Err(error) if was_refused(error) => Some(doubled(Duration::from_millis(100)).min(NOT_UP_YET)),
        Err(error) => (is_reset(error) && attempt < at_most).then(|| doubled(first)),
    };
    // Jitter, so that the machine's processes do not retry together.
    pause.map(|pause| pause.mul_f64(1.0 + spread() / 4.0))
}

/// Whether an established connection broke.
fn is_reset(error: &azure_core::Error) -> bool {
    matches!(error.kind(), azure_core::error::ErrorKind::Io)
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use azure_core::{
        Error,
        error::ErrorKind,
        http::{StatusCode, Url, headers::Headers},
    };

    use super::*;

    #[test]
    fn what_helps_where() {
        let base = Url::parse("http://127.0.0.1:2/retry").unwrap();
        let imds = Host::Imds { base: base.clone() };
        let arc = Host::AzureArc { endpoint: base, keys: PathBuf::new() };
        let answer = |status: u16, body: &str| {
            Ok(RawResponse::from_bytes(StatusCode::from(status), Headers::new(), body.to_owned()))
        };
        let failed = |kind, cause| Err(Error::new(kind, io::Error::from(cause)));
        let refused = || failed(ErrorKind::Connection, io::ErrorKind::ConnectionRefused);
        let reset = || failed(ErrorKind::Io, io::ErrorKind::ConnectionReset);
        let unreachable = || failed(ErrorKind::Connection, io::ErrorKind::HostUnreachable);
        let azures = r#"{"error": "unknown"}"#;
        let millis = Duration::from_millis;
        for (host, outcome, attempt, stated, expected) in [
            (&arc, answer(503, ""), 0, None, Some(200)),
            (&arc, answer(503, ""), 2, None, Some(800)),
            (&arc, answer(503, ""), 3, None, None),
            (&arc, answer(429, ""), 0, Some(1000), Some(1000)),
            (&arc, answer(429, ""), 0, Some(6000), None),
            (&arc, answer(404, ""), 0, None, None),
            (&arc, answer(200, ""), 0, None, None),
            (&arc, refused(), 0, None, Some(100)),
            (&arc, refused(), 100, None, Some(2000)),
            (&arc, reset(), 0, None, Some(200)),
            (&arc, reset(), 3, None, None),
            (&arc, unreachable(), 0, None, None),
            // "<html>" before an answer of Azure's: the service at the address is not known yet.
            (&imds, answer(502, "<html>"), 0, None, None),
            (&imds, answer(404, azures), 0, None, Some(1340)),
            (&imds, answer(410, azures), 5, None, Some(42_880)),
            (&imds, answer(410, azures), 6, None, None),
            (&imds, answer(502, "<html>"), 0, None, Some(1340)),
            (&imds, refused(), 0, None, Some(100)),
        ] {
            let found = pause(host, &outcome, attempt, stated.map(millis));
            let range = expected.map(|expected| millis(expected)..=millis(expected).mul_f64(1.26));
            let fits = match (&found, &range) {
                (Some(found), Some(range)) => range.contains(found),
                (found, range) => found.is_none() && range.is_none(),
            };
            assert!(fits, "{host:?} {outcome:?} {attempt}: {found:?}");
        }
    }
}
