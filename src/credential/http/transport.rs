//! The HTTP clients.
//!
//! azure_core's own would panic on a machine without CA certificates, and would send managed identity requests, secret
//! header included, to `http_proxy`. Ours are built for one fetch each, which is why none is kept over a fork.
//!
//! azure_core's pipeline sends what goes to Entra ID, and sends it again where that helps. What goes to a managed identity
//! endpoint is sent by [`crate::credential::managed_identity`] itself, whose hosts each call for other retries.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, Once, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use azure_core::{
    Error,
    cloud::{CloudConfiguration, CustomConfiguration},
    error::ErrorKind,
    http::{
        AsyncRawResponse, Body, ClientOptions, ExponentialRetryOptions, HttpClient, RawResponse, Request, RetryOptions,
        Transport, Url,
        headers::{CONTENT_TYPE, HeaderName, Headers, RETRY_AFTER},
    },
    time::parse_rfc7231,
};
use futures_util::StreamExt;
use serde_json::Value;

use super::trust;
use crate::{
    credential::{
        Authority, PROGRESS,
        request::{self, Proxy},
    },
    error::{self, Attempt, Status},
    platform::secret::Secret,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// No token comes near it; more is not worth the memory.
const LARGEST_ANSWER: usize = 1 << 20;
/// No service states more than minutes: a longer time is a mistake, which must not keep a process from logging in.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// A service that throttles requests for longer is not waited for: whoever waits hears so at once.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A clock that is off by less does no harm, and `Date` is rounded.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

/// What became of a fetch's requests, so that a time-out can tell more than that time ran out.
#[derive(Clone, Default)]
pub struct AttemptLog(Arc<Mutex<Attempts>>);

#[derive(Default)]
struct Attempts {
    sent: u32,
    last: Option<String>,
    throttled: Option<Throttled>,
    /// Why Entra ID refused, in its own words.
    refusal: Option<String>,
    /// Why the last request has no answer.
    unanswered: Option<Unanswered>,
    /// What the server's clock showed when ours showed the other.
    clocks: Option<(SystemTime, SystemTime)>,
    /// The last answer was a page for people.
    page: bool,
    /// The server is on this machine or its own network, where no proxy stands in between.
    local: bool,
    secrets: Vec<Secret>,
}

/// The last answer asked for fewer requests, for as long as its `Retry-After` states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled(pub Option<Duration>);

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unanswered {
    /// The server's certificate is not trusted.
    Distrusted,
    /// No connection, or one that broke.
    Failed,
}

impl AttemptLog {
    fn record(&self, host: &str, outcome: Result<u16, &str>) {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.sent += 1;
        attempts.unanswered = outcome.is_err().then_some(Unanswered::Failed);
        attempts.throttled = None;
        attempts.refusal = None;
        attempts.page = false;
        let last = match outcome {
            Ok(status) => format!("{host} answered {status}"),
            Err(error) => format!("{host} failed: {error}"),
        };
        // Err: in a test.
        let _ = PROGRESS.try_with(|progress| progress.report(format!("{last} (requests: {})", attempts.sent)));
        attempts.last = Some(last);
    }

    fn record_answer(&self, response: &RawResponse) {
        let (now, headers) = (SystemTime::now(), response.headers());
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.page = is_page(headers);
        let stated = retry_after(headers, now);
        attempts.throttled = (stated.is_some() || u16::from(response.status()) == 429).then_some(Throttled(stated));
        attempts.clocks = date(headers, &HeaderName::from_static("date")).map(|theirs| (theirs, now));
        if !response.status().is_success() {
            attempts.refusal = refusal(response.body());
        }
    }

    fn record_distrust(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unanswered = Some(Unanswered::Distrusted);
    }

    /// Whether the service asks for fewer requests, by its last answer.
    fn throttled(&self) -> Option<Throttled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).throttled
    }

    /// How long the service wants not to be asked again, by its last answer.
    pub fn retry_after(&self) -> Option<Duration> {
        self.throttled().and_then(|Throttled(stated)| stated)
    }

    /// Why the last request was refused, in Entra ID's own words.
    pub fn refusal(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refusal.clone()
    }

    /// The date by our clock that the server calls `date`, if its last answer told what its own clock shows.
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

    /// A log that keeps what was sent in confidence out of its texts, should the service echo it.
    pub fn hiding(secret: &Secret) -> Self {
        let log = Self::default();
        log.0.lock().unwrap_or_else(PoisonError::into_inner).secrets.push(secret.clone());
        log
    }

    /// What became of asking `credential`.
    ///
    /// # Arguments
    /// * `words`: what the service said, or why it said nothing
    pub fn attempt(&self, credential: &'static str, words: &str) -> Attempt {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(last), true) = (&attempts.last, attempts.page) {
            let reason = format!("{last} with a page of HTML instead of a token");
            let remedy = if attempts.local { FOREIGN_ENDPOINT } else { INTERCEPTED };
            return Attempt::new(credential, Status::NoAnswer, reason).with_remedy(remedy);
        }
        let (status, remedy) = match (attempts.throttled, attempts.unanswered) {
            (Some(_), _) => (Status::Throttled, Some(FEWER_REQUESTS)),
            (None, Some(Unanswered::Distrusted)) => (Status::NoAnswer, Some(DISTRUSTED)),
            (None, Some(Unanswered::Failed)) => {
                (Status::NoAnswer, Some(if attempts.local { CHECK_ENDPOINT } else { CHECK_NETWORK }))
            }
            (None, None) => (Status::Refused, None),
        };
        let mut attempt = Attempt::new(credential, status, attempts.explain(words));
        attempt.retry_after = attempts.throttled.and_then(|Throttled(stated)| stated);
        attempt.remedy = remedy.map(Into::into);
        attempt.with_entra_words(words)
    }

    /// The same where the service did not answer in time.
    pub fn overdue(&self, credential: &'static str, words: &str) -> Attempt {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let remedy = if attempts.local { CHECK_ENDPOINT } else { CHECK_NETWORK };
        Attempt::new(credential, Status::NoAnswer, attempts.explain(words)).with_remedy(remedy)
    }
}

const CHECK_NETWORK: &str = "check this machine's network and proxy (HTTPS_PROXY, NO_PROXY)";
const CHECK_ENDPOINT: &str = "check that the identity endpoint (IDENTITY_ENDPOINT, else http://169.254.169.254) is up, and that \
     no firewall or network policy keeps this process from it; outside Azure, leave it out by AZURE_TOKEN_CREDENTIALS=dev";
const DISTRUSTED: &str = "put the proxy's CA into the PEM file that SSL_CERT_FILE names";
const FEWER_REQUESTS: &str = "wait, and let fewer processes ask: share a credential object, fork after the first login";
const FOREIGN_ENDPOINT: &str = "what answers there is not a managed identity endpoint: check IDENTITY_ENDPOINT";
const INTERCEPTED: &str =
    "a proxy, a firewall or a sign-in page of the network stands in between: see HTTPS_PROXY and NO_PROXY";

impl Attempts {
    /// `message`, with the requests that were made where that says more, and without secrets.
    fn explain(&self, message: &str) -> String {
        let message = redacted(message, &self.secrets);
        match (&self.last, self.sent) {
            (Some(last), 1) => format!("{message} ({last})"),
            (Some(last), sent) => format!("{message} (after {sent} requests, the last: {last})"),
            (None, _) => message,
        }
    }
}

/// A text of a service's or a tool's as it may be shown: short, without these secrets and without anything that looks like a
/// token.
pub fn redacted(text: &str, secrets: &[Secret]) -> String {
    const HIDDEN: &str = "****";
    const AT_MOST: usize = 2000;
    let mut text = text.to_owned();
    for secret in secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, HIDDEN);
    }
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '=');
    let mut shown = String::new();
    // Base64 of `{"` begins every JWT.
    while let Some(begin) = text.find("eyJ") {
        let end = text[begin..].find(|letter| !is_part(letter)).map_or(text.len(), |length| begin + length);
        let word = if end - begin > 20 { HIDDEN } else { &text[begin..end] };
        shown.push_str(&text[..begin]);
        shown.push_str(word);
        text.drain(..end);
    }
    shown.push_str(&text);
    if let Some((cut, _)) = shown.char_indices().nth(AT_MOST) {
        shown.truncate(cut);
        shown.push('…');
    }
    shown
}

/// A reqwest client that writes down what came of its requests.
pub struct Client {
    http: reqwest::Client,
    /// What the token is to satisfy, which azure_identity cannot ask for.
    claims: Option<Arc<str>>,
    log: AttemptLog,
}

impl Client {
    /// The request with the claims in its form.
    fn with_claims<'a>(&self, request: &'a Request) -> Cow<'a, Request> {
        let (Some(claims), Body::Bytes(form)) = (&self.claims, request.body()) else { return Cow::Borrowed(request) };
        // A URL's query is written like a form.
        let mut addition = request.url().clone();
        addition.query_pairs_mut().clear().append_pair("claims", claims);
        let form = format!("{}&{}", String::from_utf8_lossy(form), addition.query().unwrap_or_default());
        let mut request = request.clone();
        request.set_body(form);
        Cow::Owned(request)
    }

    /// Sends a request once and reads the whole answer.
    ///
    /// # Errors
    /// No answer came, or one that is too long; [`was_refused`] tells one case from the others.
    pub async fn send(&self, request: &Request) -> azure_core::Result<RawResponse> {
        let host = request.url().host_str().unwrap_or_default();
        let outcome = match self.http.execute_request(&self.with_claims(request)).await {
            Ok(response) => whole(response).await,
            Err(error) => Err(error),
        };
        match &outcome {
            Ok(response) => {
                self.log.record(host, Ok(response.status().into()));
                self.log.record_answer(response);
            }
            Err(error) => {
                self.log.record(host, Err(&innermost(error)));
                if distrusted(error) {
                    self.log.record_distrust();
                }
            }
        }
        outcome
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// For azure_core's pipeline.
#[async_trait]
impl HttpClient for Client {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let outcome = self.send(request).await;
        if self.log.retry_after().is_some_and(|pause| pause > LONGEST_PAUSE) {
            // azure_core would sleep through the time of whoever waits, only to be late.
            return Err(Error::with_message(ErrorKind::Other, "the service has too much to do"));
        }
        // The kind decides whether azure_core tries again: where the certificate is not to be trusted, that does not help.
        let outcome = outcome.map(|response| {
            let (status, headers, body) = response.deconstruct();
            AsyncRawResponse::from_bytes(status, headers, body.to_vec())
        });
        outcome.map_err(
            |error| {
                if distrusted(&error) { Error::with_message(ErrorKind::Other, "no connection") } else { error }
            },
        )
    }
}

/// The response with its body, which azure_core would read after it has decided that there is nothing to try again.
async fn whole(response: AsyncRawResponse) -> azure_core::Result<RawResponse> {
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
    let (status, headers, mut body) = response.deconstruct();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > LARGEST_ANSWER {
            return Err(Error::with_message(ErrorKind::Other, "the answer is longer than 1 MiB, which no token is"));
        }
    }
    // JSON has none (RFC 8259, 8.1), but some servers write it.
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(RawResponse::from_bytes(status, headers, bytes))
}

/// Whether an answer is a page for people.
pub fn is_page(headers: &Headers) -> bool {
    headers.get_optional_str(&CONTENT_TYPE).unwrap_or_default().starts_with("text/html")
}

/// What Entra ID says of a request that it refuses. azure_identity 1.0 cannot read it where it holds an escape, which the
/// line breaks before its ids are (azure-sdk-for-rust#3322); here they become spaces.
fn refusal(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let words = answer.get("error_description")?.as_str()?;
    let words: Vec<&str> = words.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// `Retry-After` in seconds or as a date by the server's own clock (RFC 9110, 10.2.3).
fn retry_after(headers: &Headers, now: SystemTime) -> Option<Duration> {
    let seconds = headers.get_optional_str(&RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs);
    let now = date(headers, &HeaderName::from_static("date")).unwrap_or(now);
    let stated = seconds.or_else(|| date(headers, &RETRY_AFTER)?.duration_since(now).ok())?;
    Some(stated.min(LONGEST_RETRY_AFTER))
}

fn date(headers: &Headers, name: &HeaderName) -> Option<SystemTime> {
    parse_rfc7231(headers.get_optional_str(name)?).ok().map(SystemTime::from)
}

type Cause = dyn std::error::Error + 'static;

/// An error and all that caused it.
fn causes(error: &Cause) -> impl Iterator<Item = &Cause> {
    fn below<'a>(cause: &&'a Cause) -> Option<&'a Cause> {
        match cause.downcast_ref::<std::io::Error>() {
            // One that holds another error passes over it: its source is that error's.
            Some(io) => io.get_ref().map(|held| held as &Cause),
            None => cause.source(),
        }
    }
    std::iter::successors(Some(error), below)
}

/// Whether TLS refused the server's certificate.
fn distrusted(error: &Cause) -> bool {
    causes(error).any(|cause| matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))))
}

/// Whether nobody listens at the address.
pub fn was_refused(error: &Cause) -> bool {
    let kind = |cause: &Cause| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    causes(error).any(|cause| kind(cause) == Some(std::io::ErrorKind::ConnectionRefused))
}

/// The cause at the bottom, which is the one that a person can act on ("Connection refused", "certificate has expired").
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn install_ring() {
    static INSTALLED: Once = Once::new();
    // Err: the program has chosen a provider already, which serves as well.
    INSTALLED.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

fn builder() -> reqwest::ClientBuilder {
    install_ring();
    let options = request::options();
    let builder = reqwest::Client::builder()
        .connect_timeout(options.connect_timeout.unwrap_or(CONNECT_TIMEOUT))
        .redirect(reqwest::redirect::Policy::none());
    match options.read_timeout {
        Some(limit) => builder.read_timeout(limit),
        None => builder,
    }
}

/// What makes clients for the machine's own network: no proxy, as IMDS' documentation demands.
pub fn local_builder() -> reqwest::ClientBuilder {
    builder().no_proxy()
}

/// A client for plain http inside the machine's own network, so without TLS, whose set-up takes milliseconds.
pub fn plain_client() -> Result<reqwest::Client, reqwest::Error> {
    local_builder().tls_certs_only([]).build()
}

/// What sends requests to a managed identity endpoint, by one of the clients above.
pub fn local(
    credential: &'static str,
    http: Result<reqwest::Client, reqwest::Error>,
    log: AttemptLog,
) -> Result<Client, error::Error> {
    http.map(|http| Client { http, claims: None, log }).map_err(|error| no_client(credential, &error))
}

/// Options for Entra ID: https to `authority`, else to what `AZURE_AUTHORITY_HOST` says, else to the public cloud.
pub fn entra(
    credential: &'static str,
    authority: Option<&Authority>,
    log: AttemptLog,
) -> Result<ClientOptions, error::Error> {
    let mut custom = CustomConfiguration::default();
    custom.authority_host = Authority::resolve(credential, authority)?.url();
    let wanted = request::options();
    let trusted = match &wanted.ca_bundle {
        Some(path) => trust::bundle("connection_verify", path).map(Some),
        None => trust::named(),
    };
    let http = match trusted.map_err(|why| no_https(credential, &why))? {
        Some(certificates) => builder().tls_certs_only(certificates),
        None => builder(),
    };
    let http = match &wanted.proxy {
        None => http,
        Some(Proxy::Direct) => http.no_proxy(),
        Some(Proxy::Through(url)) => {
            http.proxy(reqwest::Proxy::https(url).map_err(|error| no_client(credential, &error))?)
        }
    };
    let http = http.build().map_err(|error| no_client(credential, &error))?;
    Ok(ClientOptions {
        cloud: Some(Arc::new(CloudConfiguration::Custom(custom))),
        transport: Some(Transport::new(Arc::new(Client { http, claims: request::claims(), log }))),
        retry: RetryOptions::exponential(ExponentialRetryOptions { max_retries: 3, ..Default::default() }),
        ..Default::default()
    })
}

fn no_client(credential: &'static str, cause: &reqwest::Error) -> error::Error {
    no_https(credential, &innermost(cause))
}

fn no_https(credential: &'static str, why: &str) -> error::Error {
    Attempt::new(credential, Status::Misconfigured, format!("could not set up HTTPS: {why}"))
        .with_remedy("install your system's CA certificates, or point SSL_CERT_FILE at a PEM file with them")
        .into()
}

/// Makes a URL of an endpoint that the environment or the caller names.
pub fn parse_endpoint(name: &str, text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| format!("{name}={text:?} is no http URL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_asks_for_patience_in_seconds_or_until_a_date() {
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

    #[test]
    fn entra_ids_words_are_read_whatever_their_escapes() {
        for (body, words) in [
            (
                r#"{"error_description": "AADSTS1: no.\r\nTrace ID: 1\r\nTimestamp: 2"}"#,
                "AADSTS1: no. Trace ID: 1 Timestamp: 2",
            ),
            (r#"{"error_description": "\"\u00e9\" \\ \/"}"#, "\"é\" \\ /"),
        ] {
            assert_eq!(refusal(body.as_bytes()).as_deref(), Some(words));
        }
        for body in ["", "<html>", "[1]", "{}", r#"{"error_description": 1}"#, r#"{"error_description": "\r\n"}"#] {
            assert_eq!(refusal(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_found_under_what_wraps_it() {
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = |error| Error::new(ErrorKind::Connection, std::io::Error::other(error));
        assert!(distrusted(&wrapped(refused)));
        assert!(!distrusted(&wrapped(rustls::Error::HandshakeNotComplete)));
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
}
