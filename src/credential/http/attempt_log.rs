//! The outcome of a fetch's requests, for its error.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use azure_core::http::{RawResponse, headers::HeaderName};
use serde_json::Value;

use super::{
    answer::{self, foreign},
    headers::{date, retry_after},
    redaction::redacted,
};
use crate::{
    credential::PROGRESS,
    error::{Attempt, Status},
    platform::secret::Secret,
};

/// A clock that is off by less does no harm, and `Date` is rounded.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

/// The outcome of a fetch's requests, so that an error can say more than that the time ran out.
#[derive(Clone, Default)]
pub struct AttemptLog(Arc<Mutex<Attempts>>);

#[derive(Default)]
struct Attempts {
    sent: u32,
    last: Option<String>,
    throttled: Option<Throttled>,
    /// Why the last answer gives no token, in the service's words if it has any.
    refusal: Option<String>,
    /// Why the last request has no answer.
    unanswered: Option<Unanswered>,
    /// The server's clock and this machine's at the same moment.
    clocks: Option<(SystemTime, SystemTime)>,
    /// What the last answer was, if it was not the service's.
    foreign: Option<&'static str>,
    /// The server is on this machine or its own network, without a proxy in between.
    local: bool,
    secrets: Vec<Secret>,
}

/// The last answer asked for fewer requests, for as long as its `Retry-After` states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled(pub Option<Duration>);

/// Why a request has no answer, or none that is about the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unanswered {
    /// The server's certificate is not trusted.
    Distrusted,
    /// No connection, or one that broke.
    Failed,
    /// HTTP 500 and above.
    ServiceFails,
}

impl AttemptLog {
    pub(super) fn record(&self, host: &str, outcome: Result<u16, &str>) {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.sent += 1;
        attempts.unanswered = match outcome {
            Err(_) => Some(Unanswered::Failed),
            Ok(500..) => Some(Unanswered::ServiceFails),
            Ok(_) => None,
        };
        attempts.throttled = None;
        attempts.refusal = None;
        attempts.foreign = None;
        let last = match outcome {
            Ok(status) => format!("{host} answered {status}"),
            Err(error) => format!("{host} failed: {error}"),
        };
        // Err: in a test.
        let _ = PROGRESS.try_with(|progress| progress.report(format!("{last} (requests: {})", attempts.sent)));
        attempts.last = Some(last);
    }

    pub(super) fn record_answer(&self, response: &RawResponse) {
        let (now, headers) = (SystemTime::now(), response.headers());
        let refusal = if response.status().is_success() { None } else { self.refusal_in(response) };
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.foreign = foreign(response);
        let stated = retry_after(headers, now);
        attempts.throttled = (stated.is_some() || u16::from(response.status()) == 429).then_some(Throttled(stated));
        attempts.clocks = date(headers, &HeaderName::from_static("date")).map(|theirs| (theirs, now));
        attempts.refusal = refusal;
    }

    fn refusal_in(&self, response: &RawResponse) -> Option<String> {
        match answer::json(response, self) {
            Ok(answer) => refusal(&answer),
            Err(why) => Some(why),
        }
    }

    /// The last answer gives no token although it states success.
    pub(super) fn record_defect(&self, why: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refusal = Some(why.to_owned());
    }

    pub(super) fn record_distrust(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unanswered = Some(Unanswered::Distrusted);
    }

    /// Whether the service asks for fewer requests, by its last answer.
    fn throttled(&self) -> Option<Throttled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).throttled
    }

    /// The `Retry-After` of the last answer.
    pub fn retry_after(&self) -> Option<Duration> {
        self.throttled().and_then(|Throttled(stated)| stated)
    }

    /// Why the last answer gives no token: the service's message, or what is wrong with the answer.
    pub fn refusal(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refusal.clone()
    }

    /// A date of the server's by this machine's clock, if the last answer stated the time of the server's.
    pub fn by_our_clock(&self, date: SystemTime) -> SystemTime {
        let clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner).clocks;
        let Some((theirs, ours)) = clocks else { return date };
        let corrected = match theirs.duration_since(ours) {
            Ok(ahead) if ahead > CLOCK_TOLERANCE => date.checked_sub(ahead),
            Err(behind) if behind.duration() > CLOCK_TOLERANCE => date.checked_add(behind.duration()),
            _ => None,
        };
        corrected.unwrap_or(date)
    }

    /// A log of requests to a managed identity endpoint; keeps `secret` out of its texts.
    pub fn local(secret: &Secret) -> Self {
        let log = Self::hiding(secret);
        log.0.lock().unwrap_or_else(PoisonError::into_inner).local = true;
        log
    }

    /// A log that keeps a secret out of its texts, in case the service echoes it.
    pub fn hiding(secret: &Secret) -> Self {
        let log = Self::default();
        log.hide(secret);
        log
    }

    /// Keeps another secret out of the texts.
    pub fn hide(&self, secret: &Secret) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).secrets.push(secret.clone());
    }

    /// Return a text of the service's as it may be shown.
    pub fn redacted(&self, text: &str) -> String {
        redacted(text, &self.0.lock().unwrap_or_else(PoisonError::into_inner).secrets)
    }

    /// The attempt with `credential`, for an error.
    ///
    /// # Arguments
    /// * `words`: the service's message, or why there is none
    pub fn attempt(&self, credential: &'static str, words: &str) -> Attempt {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(last), Some(what)) = (&attempts.last, attempts.foreign) {
            let reason = format!("{last} with {what} instead of a token");
            let remedy = if attempts.local { FOREIGN_ENDPOINT } else { INTERCEPTED };
            return Attempt::new(credential, Status::NoAnswer, reason).with_remedy(remedy);
        }
        if let Some(throttled) = attempts.throttled {
            return attempts.throttling(throttled, credential, words).with_entra_words(words);
        }
        let attempt = |status| Attempt::new(credential, status, attempts.explain(words));
        match attempts.unanswered {
            Some(why) => attempt(Status::NoAnswer).with_remedy(attempts.remedy(why)).with_entra_words(words),
            None => attempt(Status::Refused).with_entra_words(words),
        }
    }

    /// The attempt, if the service did not answer in time.
    pub fn overdue(&self, credential: &'static str, words: &str) -> Attempt {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(throttled) = attempts.throttled {
            return attempts.throttling(throttled, credential, words);
        }
        let remedy = attempts.remedy(attempts.unanswered.unwrap_or(Unanswered::Failed));
        Attempt::new(credential, Status::NoAnswer, attempts.explain(words)).with_remedy(remedy)
    }
}

const CHECK_NETWORK: &str = "check this machine's network and proxy (HTTPS_PROXY, NO_PROXY)";
const CHECK_ENDPOINT: &str = "check that the identity endpoint (IDENTITY_ENDPOINT, else http://169.254.169.254) is up, and that \
     no firewall or network policy blocks this process; outside Azure, exclude it with AZURE_TOKEN_CREDENTIALS=dev";
const DISTRUSTED: &str = "put the proxy's CA into the PEM file that SSL_CERT_FILE names";
const DISTRUSTED_ENDPOINT: &str = "a managed identity endpoint is trusted by the thumbprint of its certificate alone: check \
     IDENTITY_ENDPOINT and IDENTITY_SERVER_THUMBPRINT";
const SERVICE_FAILS: &str =
    "the service itself fails: try again later, and see https://azure.status.microsoft if it goes on";
const FEWER_REQUESTS: &str =
    "wait, and send fewer requests: share a credential object among connections, and fork after the first login";
const FOREIGN_ENDPOINT: &str = "what answers there is not a managed identity endpoint: check IDENTITY_ENDPOINT";
const INTERCEPTED: &str =
    "a proxy, a firewall or a sign-in page of the network stands in between: see HTTPS_PROXY and NO_PROXY";

impl Attempts {
    fn remedy(&self, why: Unanswered) -> &'static str {
        match why {
            Unanswered::Distrusted if self.local => DISTRUSTED_ENDPOINT,
            Unanswered::Distrusted => DISTRUSTED,
            Unanswered::ServiceFails => SERVICE_FAILS,
            Unanswered::Failed if self.local => CHECK_ENDPOINT,
            Unanswered::Failed => CHECK_NETWORK,
        }
    }

    /// The attempt whose last answer asks for fewer requests.
    fn throttling(&self, Throttled(stated): Throttled, credential: &'static str, words: &str) -> Attempt {
        let mut attempt = Attempt::new(credential, Status::Throttled, self.explain(words)).with_remedy(FEWER_REQUESTS);
        attempt.retry_after = stated;
        attempt
    }

    /// `message` without secrets, and with the requests that were made.
    fn explain(&self, message: &str) -> String {
        let message = redacted(message, &self.secrets);
        match (&self.last, self.sent) {
            (Some(last), 1) => format!("{message} ({last})"),
            (Some(last), sent) => format!("{message} (after {sent} requests, the last: {last})"),
            (None, _) => message,
        }
    }
}

/// The message of Entra ID or of Azure Pipelines about a request that it refuses. azure_identity 1.0 cannot read messages with
/// escapes, such as the line breaks before the ids (azure-sdk-for-rust#3322), which become spaces here.
fn refusal(answer: &Value) -> Option<String> {
    let words = ["error_description", "message"].iter().find_map(|name| answer.get(name)?.as_str())?;
    let words: Vec<&str> = words.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use azure_core::http::{StatusCode, headers::Headers};

    use super::*;

    #[test]
    fn entra_ids_words_are_read_whatever_their_escapes() {
        for (body, words) in [
            (
                r#"{"error_description": "AADSTS1: no.\r\nTrace ID: 1\r\nTimestamp: 2"}"#,
                "AADSTS1: no. Trace ID: 1 Timestamp: 2",
            ),
            (r#"{"error_description": "\"\u00e9\" \\ \/"}"#, "\"é\" \\ /"),
            (r#"{"$id": "1", "message": "TF400813: not authorized"}"#, "TF400813: not authorized"),
        ] {
            assert_eq!(refusal(&serde_json::from_str(body).unwrap()).as_deref(), Some(words));
        }
        for body in ["[1]", "{}", r#"{"error_description": 1}"#, r#"{"error_description": "\r\n"}"#] {
            assert_eq!(refusal(&serde_json::from_str(body).unwrap()), None, "{body}");
        }
    }

    #[test]
    fn a_servers_dates_are_read_by_its_own_clock() {
        let ours = SystemTime::now();
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let log = AttemptLog::default();
        assert_eq!(log.by_our_clock(ours), ours, "it did not tell");
        for (theirs, theirs_in_an_hour) in
            [(ours + minutes(10), ours + minutes(70)), (ours - minutes(10), ours + minutes(50))]
        {
            log.0.lock().unwrap().clocks = Some((theirs, ours));
            assert_eq!(log.by_our_clock(theirs_in_an_hour), ours + minutes(60));
        }
        log.0.lock().unwrap().clocks = Some((ours + Duration::from_secs(2), ours));
        assert_eq!(log.by_our_clock(ours + minutes(60)), ours + minutes(60));
    }

    #[test]
    fn what_a_service_echoes_is_not_shown() {
        let log = AttemptLog::hiding(&Secret::from("p@ss word"));
        let echo = "bad: client_secret=p@ss word, token eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2ln-_x, eyJ is short";
        assert_eq!(log.attempt("C", echo).reason, "bad: client_secret=****, token ****, eyJ is short");
        let form = "client_id=1&client_secret=p%40ss+word";
        assert_eq!(log.attempt("C", form).reason, "client_id=1&client_secret=****");
        let entra = AttemptLog::hiding(&Secret::from("8Q~a\"b"));
        for (echo, shown) in [
            (r#"8Q%7Ea%22b {"8Q~a\"b"}"#, r#"**** {"****"}"#),
            // Lower case, JSON inside of JSON, and .NET's escapes of whatever HTML uses.
            (r#"8Q%7ea"b {\"8Q~a\\\"b\"} 8Q~a\u0022b"#, r#"**** {\"****\"} ****"#),
            (r#"8Q~a\u0023b 8Q~a 8Q%7Ga"b"#, r#"8Q~a\u0023b 8Q~a 8Q%7Ga"b"#),
        ] {
            assert_eq!(entra.attempt("C", echo).reason, shown);
        }
        let clef = AttemptLog::hiding(&Secret::from("𝄞u"));
        assert_eq!(clef.attempt("C", r"\ud834\udd1eu %F0%9D%84%9Eu \ud834").reason, r"**** **** \ud834");
        let opaque = format!("\"accessToken\": \"EwB{}==\", /a/path", "a+/".repeat(100));
        assert_eq!(log.attempt("C", &opaque).reason, "\"accessToken\": \"****\", /a/path");
        assert!(log.attempt("C", &"é".repeat(5000)).reason.chars().count() < 2010);
    }

    #[test]
    fn a_log_tells_the_last_answer() {
        let log = AttemptLog::default();
        let reason = || log.attempt("C", "no token").reason;
        assert_eq!(reason(), "no token");
        log.record("imds", Ok(503));
        assert_eq!(reason(), "no token (imds answered 503)");
        log.record("imds", Ok(429));
        assert_eq!(reason(), "no token (after 2 requests, the last: imds answered 429)");
    }

    #[test]
    fn a_log_tells_whether_the_service_answered() {
        let log = AttemptLog::default();
        log.record("login", Err("connection refused"));
        assert_eq!(log.attempt("C", "no token").status, Status::NoAnswer);
        log.record_distrust();
        assert_eq!(log.attempt("C", "no token").remedy.as_deref(), Some(DISTRUSTED));
        log.record("login", Ok(401));
        let refused = log.attempt("EnvironmentCredential", "AADSTS7000215: Invalid. Trace ID: 1");
        assert_eq!((refused.status, refused.service_code().as_deref()), (Status::Refused, Some("AADSTS7000215")));
        assert_eq!(refused.summary(), "AADSTS7000215: Invalid");
        let overdue = AttemptLog::local(&Secret::from("")).overdue("C", "no token within 29 s");
        assert_eq!((overdue.status, overdue.remedy.as_deref()), (Status::NoAnswer, Some(CHECK_ENDPOINT)));
    }

    #[test]
    fn a_service_that_throttles_until_the_end_has_answered() {
        let log = AttemptLog::local(&Secret::from(""));
        let mut headers = Headers::new();
        headers.insert("retry-after", "3");
        for (headers, stated) in [(Headers::new(), None), (headers, Some(Duration::from_secs(3)))] {
            log.record("imds", Ok(429));
            log.record_answer(&RawResponse::from_bytes(StatusCode::TooManyRequests, headers, r#"{"error": "x"}"#));
            for attempt in [log.attempt("C", "no token"), log.overdue("C", "no token within 29 s")] {
                assert_eq!((attempt.status, attempt.retry_after), (Status::Throttled, stated));
                assert_eq!(attempt.remedy.as_deref(), Some(FEWER_REQUESTS));
            }
        }
    }

    #[test]
    fn a_service_that_fails_has_refused_nothing() {
        let log = AttemptLog::default();
        log.record("login", Ok(503));
        for attempt in [log.attempt("C", "no token"), log.overdue("C", "no token within 29 s")] {
            assert_eq!((attempt.status, attempt.remedy.as_deref()), (Status::NoAnswer, Some(SERVICE_FAILS)));
        }
        log.record("login", Ok(400));
        assert_eq!(log.attempt("C", "no token").status, Status::Refused);
    }
}
