//! The HTTP clients.
//!
//! azure_core's own would panic on a machine without CA certificates, and would send managed identity requests, secret
//! header included, to `http_proxy`. Ours are built for one fetch each, which is why none is kept over a fork.

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
        AsyncRawResponse, Body, ClientOptions, ExponentialRetryOptions, HttpClient, Request, RetryOptions, Transport,
        Url,
        headers::{CONTENT_TYPE, HeaderName, Headers, RETRY_AFTER},
    },
    time::parse_rfc7231,
};
use futures_util::StreamExt;

use super::{
    Authority,
    request::{self, Proxy},
    trust,
};
use crate::{error, secret::Secret};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// No token comes near it; more is not worth the memory.
const LARGEST_ANSWER: usize = 1 << 20;
/// A service that wants to be left in peace for longer is not waited for: whoever waits hears so at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A clock that is off by less does no harm, and `Date` is rounded.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

/// What became of a fetch's requests, so that a time-out can tell more than that time ran out.
#[derive(Clone, Default)]
pub struct AttemptLog(Arc<Mutex<Attempts>>);

#[derive(Default)]
struct Attempts {
    sent: u32,
    last: Option<String>,
    retry_after: Option<Duration>,
    /// What the server's clock showed when ours showed the other.
    clocks: Option<(SystemTime, SystemTime)>,
    /// The last answer was a page for people.
    page: bool,
    secrets: Vec<Secret>,
}

impl AttemptLog {
    fn record(&self, host: &str, outcome: Result<u16, &str>) {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.sent += 1;
        attempts.retry_after = None;
        attempts.page = false;
        let last = match outcome {
            Ok(status) => format!("{host} answered {status}"),
            Err(error) => format!("{host} failed: {error}"),
        };
        // Err: in a test.
        let _ = super::PROGRESS.try_with(|progress| progress.tell(format!("{last} (requests: {})", attempts.sent)));
        attempts.last = Some(last);
    }

    fn record_headers(&self, headers: &Headers) {
        let now = SystemTime::now();
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = headers.get_optional_str(&CONTENT_TYPE).unwrap_or_default();
        attempts.page = kind.starts_with("text/html");
        attempts.retry_after = retry_after(headers, now);
        attempts.clocks = date(headers, &HeaderName::from_static("date")).map(|theirs| (theirs, now));
    }

    /// How long the service wants not to be asked again, by its last answer.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retry_after
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

    /// A log that keeps what was sent in confidence out of its texts, should the service echo it.
    pub fn hiding(secret: &Secret) -> Self {
        let log = Self::default();
        log.0.lock().unwrap_or_else(PoisonError::into_inner).secrets.push(secret.clone());
        log
    }

    /// `message`, with the requests that were made where that says more, and without secrets.
    pub fn explain(&self, message: &str) -> String {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let message = &redacted(message, &attempts.secrets);
        if let (Some(last), true) = (&attempts.last, attempts.page) {
            return format!(
                "{last} with a page of HTML instead of a token: a proxy, a firewall or a sign-in page of the network stands in \
                 between; see HTTPS_PROXY and NO_PROXY"
            );
        }
        match (&attempts.last, attempts.sent) {
            (Some(last), 1) => format!("{message} ({last})"),
            (Some(last), sent) => format!("{message} (after {sent} requests, the last: {last})"),
            (None, _) => message.to_owned(),
        }
    }
}

/// A text of the service's as it may be shown: short, without these secrets and without anything that looks like a token.
fn redacted(text: &str, secrets: &[Secret]) -> String {
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
struct Client {
    http: reqwest::Client,
    /// The server is part of this machine or there is none: where nobody listens, nobody will in a minute.
    local: bool,
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
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let host = request.url().host_str().unwrap_or_default();
        let outcome = match self.http.execute_request(&self.with_claims(request)).await {
            Ok(response) => whole(response).await,
            Err(error) => Err(error),
        };
        match &outcome {
            Ok(response) => {
                self.log.record(host, Ok(response.status().into()));
                self.log.record_headers(response.headers());
            }
            Err(error) => self.log.record(host, Err(&innermost(error))),
        }
        if self.log.retry_after().is_some_and(|pause| pause > LONGEST_PAUSE) {
            // azure_core would sleep through the time of whoever waits, only to be late.
            return Err(Error::with_message(ErrorKind::Other, "the service has too much to do"));
        }
        // The kind decides whether azure_core tries again, for minutes with IMDS: where nobody listens, and where the
        // certificate is not to be trusted, that does not help.
        outcome.map_err(|error| {
            let hopeless = self.local && *error.kind() == ErrorKind::Connection || distrusted(&error);
            if hopeless { Error::with_message(ErrorKind::Other, "no connection") } else { error }
        })
    }
}

/// The response with its body, which azure_core would read after it has decided that there is nothing to try again.
async fn whole(response: AsyncRawResponse) -> azure_core::Result<AsyncRawResponse> {
    let (status, headers, mut body) = response.deconstruct();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > LARGEST_ANSWER {
            return Err(Error::with_message(ErrorKind::Other, "the answer is longer than 1 MiB, which no token is"));
        }
    }
    Ok(AsyncRawResponse::from_bytes(status, headers, bytes))
}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
fn retry_after(headers: &Headers, now: SystemTime) -> Option<Duration> {
    let seconds = headers.get_optional_str(&RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs);
    seconds.or_else(|| date(headers, &RETRY_AFTER)?.duration_since(now).ok())
}

fn date(headers: &Headers, name: &HeaderName) -> Option<SystemTime> {
    parse_rfc7231(headers.get_optional_str(name)?).ok().map(SystemTime::from)
}

type Cause = dyn std::error::Error + 'static;

/// Whether TLS refused the server's certificate.
fn distrusted(error: &Cause) -> bool {
    fn below<'a>(cause: &&'a Cause) -> Option<&'a Cause> {
        match cause.downcast_ref::<std::io::Error>() {
            // One that holds another error passes over it: its source is that error's.
            Some(io) => io.get_ref().map(|held| held as &Cause),
            None => cause.source(),
        }
    }
    std::iter::successors(Some(error), below)
        .any(|cause| matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))))
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

/// Options for managed identity, with one of the clients above.
pub fn local(
    credential: &'static str,
    http: Result<reqwest::Client, reqwest::Error>,
    log: AttemptLog,
) -> Result<ClientOptions, error::Error> {
    let http = http.map_err(|error| no_client(credential, &error))?;
    Ok(options(Client { http, local: true, claims: None, log }))
}

/// Options for Entra ID: https to `authority`, else to what `AZURE_AUTHORITY_HOST` says, else to the public cloud.
pub fn entra(
    credential: &'static str,
    authority: Option<&Authority>,
    log: AttemptLog,
) -> Result<ClientOptions, error::Error> {
    let mut custom = CustomConfiguration::default();
    custom.authority_host = Authority::settle(credential, authority)?.url();
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
    let cloud = Some(Arc::new(CloudConfiguration::Custom(custom)));
    Ok(ClientOptions { cloud, ..options(Client { http, local: false, claims: request::claims(), log }) })
}

fn options(client: Client) -> ClientOptions {
    ClientOptions {
        transport: Some(Transport::new(Arc::new(client))),
        retry: RetryOptions::exponential(ExponentialRetryOptions { max_retries: 3, ..Default::default() }),
        ..Default::default()
    }
}

fn no_client(credential: &'static str, cause: &reqwest::Error) -> error::Error {
    no_https(credential, &innermost(cause))
}

fn no_https(credential: &'static str, why: &str) -> error::Error {
    error::Error::AuthenticationFailed {
        credential,
        reason: format!(
            "could not set up HTTPS: {why}; install your system's CA certificates, or point SSL_CERT_FILE at a PEM file with \
             them"
        ),
    }
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
        ] {
            let mut headers = Headers::new();
            headers.insert(RETRY_AFTER, value);
            assert_eq!(retry_after(&headers, now), wait.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&Headers::new(), now), None);
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
        assert_eq!(log.explain(echo), "bad: client_secret=****, token ****, eyJ is short");
        assert!(log.explain(&"é".repeat(5000)).chars().count() < 2010);
    }

    #[test]
    fn a_log_tells_the_last_answer() {
        let log = AttemptLog::default();
        assert_eq!(log.explain("no token"), "no token");
        log.record("imds", Ok(503));
        assert_eq!(log.explain("no token"), "no token (imds answered 503)");
        log.record("imds", Ok(429));
        assert_eq!(log.explain("no token"), "no token (after 2 requests, the last: imds answered 429)");
    }
}
