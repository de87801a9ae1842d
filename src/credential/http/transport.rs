//! The HTTP clients of the credentials.
//!
//! azure_core's own would panic on a machine without CA certificates, and would send managed identity requests, secret
//! header included, to `http_proxy`. Ours are built for one fetch each, so none survives a fork.
//!
//! azure_core's pipeline sends and retries the requests to Entra ID. [`crate::credential::managed_identity`] sends those to a
//! managed identity endpoint itself, because each host needs other retries.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Once},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use azure_core::{
    Bytes, Error,
    cloud::{CloudConfiguration, CustomConfiguration},
    error::ErrorKind,
    http::{
        AsyncRawResponse, Body, ClientOptions, ExponentialRetryOptions, HttpClient, RawResponse, Request, RetryOptions,
        Transport, Url,
        headers::{CONTENT_LENGTH, RETRY_AFTER},
    },
};
use futures_util::StreamExt;
use serde_json::json;

use super::{
    answer,
    attempt_log::AttemptLog,
    cause::{distrusted, innermost},
    proxies,
    redaction::quoted_url,
    trust,
};
use crate::{
    credential::{
        Authority,
        request::{self, Proxy},
    },
    error::{self, Attempt, Status},
    platform::limits::{CONNECT_TIMEOUT, LIFE_AT_MOST},
};

/// No token comes near it.
const LARGEST_ANSWER: usize = 1 << 20;
/// If a service throttles requests for longer, the caller gets the error at once instead of waiting.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A client that logs its requests' outcome.
pub struct Client {
    http: Arc<dyn HttpClient>,
    /// The claims that the token must satisfy, which azure_identity cannot send.
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

    /// Send a request once, and read the whole answer.
    ///
    /// # Errors
    /// No answer came, or one that is too long; see [`super::cause::was_refused`].
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
            // azure_core would sleep for longer than the caller waits.
            return Err(Error::with_message(ErrorKind::Other, "the service has too much to do"));
        }
        // The kind decides whether azure_core retries, which does not help if the certificate is not trusted.
        let response = outcome.map_err(|error| {
            if distrusted(&error) { Error::with_message(ErrorKind::Other, "no connection") } else { error }
        })?;
        let body = self.legible(request, &response).map_err(|why| {
            self.log.record_defect(&why);
            Error::with_message(ErrorKind::Other, why)
        })?;
        let (status, mut headers, _) = response.deconstruct();
        if let Some(pause) = self.log.retry_after() {
            // azure_core would read a date by this machine's clock.
            headers.insert(RETRY_AFTER, pause.as_secs().to_string());
        }
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

impl Client {
    /// The body of an answer as azure_identity 1.0 can read it. It takes nothing but an integer for the seconds that a token
    /// lives, panics if they lead to a date after the year 9999, and takes a missing token for an empty one.
    ///
    /// # Errors
    /// The answer states success and holds no token.
    fn legible(&self, request: &Request, response: &RawResponse) -> Result<Bytes, String> {
        if !response.status().is_success() {
            return Ok(response.body().as_ref().to_vec().into());
        }
        let answer = answer::json(response, &self.log)?;
        // Entra ID is sent a form, Azure Pipelines nothing.
        if request.body().is_empty() == Some(true) {
            // Entra ID is sent it next, and may repeat it.
            self.log.hide(&answer::text(&answer, "oidcToken")?.into());
            return Ok(response.body().as_ref().to_vec().into());
        }
        let token = answer::token(&answer, &self.log)?;
        let left = token.expires_at.duration_since(SystemTime::now()).unwrap_or_default().min(LIFE_AT_MOST);
        let rounded = (left + Duration::from_millis(500)).as_secs();
        Ok(json!({"access_token": token.secret.expose(), "expires_in": rounded}).to_string().into())
    }
}

/// The response with its body, which azure_core would read too late for a retry.
///
/// A body that is too long is refused before it is copied, and before it is read if its length is stated. The allocator keeps,
/// for each of its threads' arenas, about as much as the largest buffer that was ever freed.
async fn whole(response: AsyncRawResponse) -> azure_core::Result<RawResponse> {
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
    let (status, headers, mut body) = response.deconstruct();
    let stated = headers.get_optional_as(&CONTENT_LENGTH).ok().flatten();
    check_length(stated.unwrap_or_default())?;
    let (mut chunks, mut length) = (Vec::new(), 0);
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        length += chunk.len();
        check_length(length)?;
        chunks.push(chunk);
    }
    let bytes = chunks.concat();
    // JSON has none (RFC 8259, 8.1), but some servers write it.
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).map(<[u8]>::to_vec).unwrap_or(bytes);
    Ok(RawResponse::from_bytes(status, headers, bytes))
}

fn check_length(bytes: usize) -> azure_core::Result<()> {
    if bytes > LARGEST_ANSWER {
        return Err(Error::with_message(ErrorKind::Other, "the answer is longer than 1 MiB, which no token is"));
    }
    Ok(())
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

/// A builder of clients for the machine's own network, without a proxy, as IMDS' documentation demands.
pub fn local_builder() -> reqwest::ClientBuilder {
    builder().no_proxy()
}

/// A client for plain http inside the machine's own network, so without TLS, whose set-up takes milliseconds.
pub fn plain_client() -> Result<reqwest::Client, reqwest::Error> {
    local_builder().tls_certs_only([]).build()
}

/// The client that `build` makes, which sends requests to the network; in the fuzzer, one that reads answers from its input.
fn network<E>(build: impl FnOnce() -> Result<reqwest::Client, E>) -> Result<Arc<dyn HttpClient>, E> {
    #[cfg(any(test, fuzzing))]
    if let Ok(script) = super::script::SCRIPT.try_with(Arc::clone) {
        return Ok(script);
    }
    Ok(Arc::new(build()?))
}

/// A client for a managed identity endpoint, of one of the clients above.
pub fn local(
    credential: &'static str,
    build: impl FnOnce() -> Result<reqwest::Client, reqwest::Error>,
    log: AttemptLog,
) -> Result<Client, error::Error> {
    let http = network(build).map_err(|error| no_client(credential, &error))?;
    Ok(Client { http, claims: None, log })
}

/// Options for Entra ID: https to `authority`, else to that of `AZURE_AUTHORITY_HOST`, else to the public cloud's.
pub fn entra(
    credential: &'static str,
    authority: Option<&Authority>,
    log: AttemptLog,
) -> Result<ClientOptions, error::Error> {
    let mut custom = CustomConfiguration::default();
    custom.authority_host = Authority::resolve(credential, authority)?.url();
    let http = network(|| entra_client(credential))?;
    Ok(ClientOptions {
        cloud: Some(Arc::new(CloudConfiguration::Custom(custom))),
        transport: Some(Transport::new(Arc::new(Client { http, claims: request::claims(), log }))),
        retry: RetryOptions::exponential(ExponentialRetryOptions { max_retries: 3, ..Default::default() }),
        ..Default::default()
    })
}

fn entra_client(credential: &'static str) -> Result<reqwest::Client, error::Error> {
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
        None => match proxies::named().map_err(|defect| defect.of(credential))? {
            Some(proxy) => http.proxy(proxy),
            None => http.no_proxy(),
        },
        Some(Proxy::Direct) => http.no_proxy(),
        Some(Proxy::Through(url)) => {
            http.proxy(reqwest::Proxy::https(url).map_err(|error| no_client(credential, &error))?)
        }
    };
    http.build().map_err(|error| no_client(credential, &error))
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
        .ok_or_else(|| format!("{name}={} is not an http URL", quoted_url(text)))
}

#[cfg(test)]
mod tests {
    use azure_core::http::{StatusCode, headers::Headers};
    use futures_util::{FutureExt, stream};

    use super::*;

    fn answer(stated: Option<usize>, chunks: Vec<&'static [u8]>) -> azure_core::Result<RawResponse> {
        let mut headers = Headers::new();
        if let Some(length) = stated {
            headers.insert(CONTENT_LENGTH, length.to_string());
        }
        let body = stream::iter(chunks.into_iter().map(|chunk| Ok(chunk.into())));
        let response = AsyncRawResponse::new(StatusCode::Ok, headers, Box::pin(body));
        whole(response).now_or_never().expect("nothing is waited for")
    }

    #[test]
    fn the_chunks_of_a_body_are_put_together() {
        for stated in [None, Some(5)] {
            assert_eq!(answer(stated, vec![b"{", b" ", b"", b" }\n"]).unwrap().body().as_ref(), b"{  }\n");
        }
        assert_eq!(answer(None, vec![b"\xEF\xBB", b"\xBF{}"]).unwrap().body().as_ref(), b"{}");
        assert_eq!(answer(None, vec![]).unwrap().body().as_ref(), b"");
    }

    #[test]
    fn a_body_that_is_stated_to_be_too_long_is_not_read() {
        let mut headers = Headers::new();
        headers.insert(CONTENT_LENGTH, (LARGEST_ANSWER + 1).to_string());
        let body = stream::poll_fn(|_| panic!("it was read"));
        let refused = whole(AsyncRawResponse::new(StatusCode::Ok, headers, Box::pin(body))).now_or_never().unwrap();
        assert!(refused.unwrap_err().to_string().contains("longer than 1 MiB"));
    }

    #[test]
    fn a_body_is_refused_as_soon_as_it_is_too_long() {
        static HALF: [u8; LARGEST_ANSWER / 2] = [b' '; LARGEST_ANSWER / 2];
        assert_eq!(answer(None, vec![&HALF, &HALF]).unwrap().body().len(), LARGEST_ANSWER);
        assert!(answer(None, vec![&HALF, &HALF, b" "]).is_err());
    }
}
