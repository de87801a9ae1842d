//! Where tokens come from: one file per credential, each a [`TokenSource`].
//!
//! azure_identity does the talking. Each fetch builds its credential afresh, because azure_identity caches inside and would
//! answer a refresh with the token that is to be refreshed; [`crate::cache`] keeps the tokens instead. That also means that
//! the environment is read when a token is needed, not when a credential object is made.

mod chain;
mod defect;
mod developer_tools;
mod entra;
pub mod expiry;
mod http;
mod managed_identity;
mod request;
mod shared_cache;

use std::{
    fmt,
    future::Future,
    hash::Hasher,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
pub use chain::{ChainedTokenCredential, DefaultChain, EnvironmentCredential, FallbackChain, Selection};
pub use defect::{check as check_value, defect as value_defect};
pub use developer_tools::{AzureCliCredential, AzureDeveloperCliCredential, AzurePowerShellCredential};
pub use entra::{
    Authority, AzurePipelinesCredential, CertificateSource, ClientAssertionCredential, ClientCertificateCredential,
    ClientSecretCredential, SigningCertificate, WorkloadIdentityCredential,
};
use futures_util::FutureExt;
use http::transport;
pub use managed_identity::{ManagedIdentityCredential, UserAssigned};
pub use request::{ClientOptions, Proxy, configured, in_tenant, with_claims};
use tokio::time::Instant;

use crate::{
    cache::{Fetch, FetchedToken, Progress},
    error::{Attempt, Error, Status, seconds},
    platform::runtime,
};

/// How long one fetch may take in all, whatever the links of a chain take each: a second less than its callers wait by
/// default, so that they hear what it found.
pub const FETCH_LIMIT: Duration = Duration::from_secs(29);
/// How long a command line may take unless the caller says otherwise; azure-identity for Python allows as much.
pub const PROCESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks an identity service for one token.
#[async_trait]
pub trait TokenSource: Send + Sync + fmt::Debug {
    /// The credential's public name.
    fn name(&self) -> &'static str;

    /// The same for logs; a chain says which of its links it uses.
    fn description(&self) -> String {
        self.name().to_owned()
    }

    /// Fetches a token, giving up at `deadline`. Runs on [`crate::platform::runtime`].
    ///
    /// # Errors
    /// [`Error::Credential`] says how it answered.
    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error>;

    /// The same once more, at the end of a chain that found nothing: for a link that was passed over because its answer was
    /// late, and may have come since.
    async fn fetch_late(&self, _scope: &str, _deadline: Instant) -> Option<Result<FetchedToken, Error>> {
        None
    }

    /// The same as a link of a chain, where that differs.
    fn as_link(&self) -> Option<Arc<dyn TokenSource>> {
        None
    }

    /// The same for tokens of another tenant; `None` if it has no choice.
    ///
    /// # Arguments
    /// * `allowed`: the caller lists this tenant among those that may be asked for
    fn in_tenant(&self, _tenant_id: &str, _allowed: bool) -> Option<Arc<dyn TokenSource>> {
        None
    }

    /// Whether its tokens may be given to other processes of the same user that have the same fingerprint.
    fn is_shareable(&self) -> bool {
        false
    }

    /// Mixes in what tells it from others of its name: its settings, with the secret that proves that it may have the token.
    /// The environment need not be.
    fn fingerprint(&self, _state: &mut dyn Hasher) {}

    /// The credentials that it asked when it last looked for one that gives tokens, with their answers; for a chain.
    fn attempts(&self) -> Vec<Attempt> {
        Vec::new()
    }

    /// Whether somebody else takes over after this error: then the fetch is given up instead of answered.
    fn hands_over(&self, _error: &Error) -> bool {
        false
    }
}

tokio::task_local! {
    /// Where a fetch tells how it is getting on.
    static PROGRESS: Progress;
}

/// Makes a fetch with `source`, in the background. The waiters learn of every outcome.
pub fn start(fetch: Fetch, source: Arc<dyn TokenSource>) {
    let name = source.name();
    let (scope, progress) = (Arc::clone(fetch.scope()), fetch.progress().clone());
    let known = fetch.known().cloned();
    let pause = fetch.pause();
    // Shared with the task, so that the answer is not lost where no task can be started.
    let slot = Arc::new(Mutex::new(Some(fetch)));
    let take = |slot: &Mutex<Option<Fetch>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let task_slot = Arc::clone(&slot);
    let started = runtime::spawn(async move {
        tokio::time::sleep(pause).await;
        let deadline = Instant::now() + FETCH_LIMIT;
        let fetched = PROGRESS.scope(progress, shared_cache::fetch(&*source, &scope, known.as_ref(), deadline));
        let outcome = AssertUnwindSafe(fetched).catch_unwind().await;
        let Some(fetch) = take(&task_slot) else { return };
        match outcome {
            Ok(Ok(token)) if token.from_shared_cache => fetch.answer(shared_cache::NAME, Ok(token)),
            Ok(Ok(token)) => fetch.answer(&source.description(), Ok(token)),
            Ok(Err(error)) if source.hands_over(&error) => drop(fetch),
            Ok(Err(error)) => fetch.answer(&source.description(), Err(error)),
            Err(_panic) => {
                let reason = format!("{name}: failed unexpectedly; please report it");
                fetch.answer(name, Err(Error::Abandoned(reason)));
            }
        }
    });
    if let Err(error) = started
        && let Some(fetch) = take(&slot)
    {
        let reason = format!("{name}: the operating system gave no thread to fetch a token with: {error}");
        fetch.answer(name, Err(Error::Abandoned(reason)));
    }
}

/// Asks one of azure_identity's credentials, bounded by `deadline`.
async fn ask(
    name: &'static str,
    credential: Arc<dyn TokenCredential>,
    scope: &str,
    deadline: Instant,
    log: &transport::AttemptLog,
) -> Result<FetchedToken, Error> {
    let token = bounded(name, deadline, log, async {
        let outcome = credential.get_token(&[scope], None).await;
        outcome.map_err(|error| log.refusal().unwrap_or_else(|| root_message(name, &error)))
    });
    let token = token.await?;
    Ok(FetchedToken::new(token.token.secret().into(), SystemTime::from(token.expires_on)))
}

/// Bounds a request of `credential`, and words its failure.
async fn bounded<T>(
    credential: &'static str,
    deadline: Instant,
    log: &transport::AttemptLog,
    request: impl Future<Output = Result<T, String>>,
) -> Result<T, Error> {
    let begun = Instant::now();
    let Ok(outcome) = tokio::time::timeout_at(deadline, request).await else {
        let waited = seconds(Duration::from_secs(begun.elapsed().as_secs().max(1)));
        return Err(log.overdue(credential, &format!("no token within {waited} s")).into());
    };
    outcome.map_err(|words| log.attempt(credential, &words).into())
}

/// A credential whose client could not be made of its settings.
fn misconfigured(credential: &'static str, error: &azure_core::Error) -> Error {
    Attempt::new(credential, Status::Misconfigured, root_message(credential, error)).into()
}

/// Bounds one step of a credential.
async fn within<T>(limit: Duration, deadline: Instant, step: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout_at(deadline.min(Instant::now() + limit), step).await.ok()
}

/// What azure_identity says, without the frame that repeats the credential's name and links to Rust's troubleshooting page.
fn root_message(name: &str, error: &azure_core::Error) -> String {
    let text = error.to_string();
    let text = text.split("\nTo troubleshoot").next().unwrap_or_default().trim();
    let text = text.strip_prefix(name).unwrap_or(text).trim_start();
    let text = text.strip_prefix("authentication failed.").unwrap_or(text).trim();
    // azure_core's words for the end of its retries; what the last attempt met with follows from the log.
    let of_retries = text.ends_with("will no longer be retried") || text.ends_with("will not be retried");
    if of_retries { "the request for a token failed" } else { text }.to_owned()
}

/// An environment variable that is set to something.
fn variable(name: &str) -> Option<String> {
    // Lossy: a value that is no text leads to an error about it, not to what would be done if it were not set.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// A scope as the services of before Entra ID's second version know it.
fn resource_of(scope: &str) -> &str {
    scope.strip_suffix("/.default").unwrap_or(scope)
}
