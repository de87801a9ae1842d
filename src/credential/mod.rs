//! The credentials, one file each; every one is a [`TokenSource`].
//!
//! azure_identity makes the requests. Each fetch builds a new credential, because azure_identity has a cache inside and would
//! answer a refresh with the old token; [`crate::cache`] keeps the tokens instead. So the environment is read when a token is
//! needed, not when a credential object is made.

mod chain;
mod defect;
mod developer_tools;
mod entra;
pub mod expiry;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod http;
mod managed_identity;
mod request;
mod shared_cache;
mod values;

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
pub use chain::{ChainedTokenCredential, DefaultChain, EnvironmentCredential, FallbackChain, LINKS, Origin, Selection};
pub use defect::{Defect, defect as value_defect};
pub use developer_tools::{AzureCliCredential, AzureDeveloperCliCredential, AzurePowerShellCredential};
pub use entra::{
    Authority, AzurePipelinesCredential, CertificateSource, ClientAssertionCredential, ClientCertificateCredential,
    ClientSecretCredential, SigningCertificate, WorkloadIdentityCredential,
};
use futures_util::FutureExt;
use http::{attempt_log::AttemptLog, transport};
pub use managed_identity::{ManagedIdentityCredential, UserAssigned};
pub use request::{AllowedTenants, ClientOptions, Proxy, configured, in_tenant, with_claims};
use tokio::time::Instant;
pub use values::{ClientId, Subscription, TenantId, parse_id, parse_secret};

use crate::{
    cache::{Fetch, FetchedToken, Progress},
    error::{Attempt, Error, Status, seconds},
    platform::{limits::FETCH_LIMIT, runtime},
};

/// Asks an identity service for one token.
#[async_trait]
pub trait TokenSource: Send + Sync + fmt::Debug {
    /// The credential's public name.
    fn name(&self) -> &'static str;

    /// The name in log records; a chain adds the link that it uses.
    fn description(&self) -> String {
        self.name().to_owned()
    }

    /// Fetches a token, giving up at `deadline`. Runs on [`crate::platform::runtime`].
    ///
    /// # Errors
    /// [`Error::Credential`] says how it answered.
    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error>;

    /// Fetch again, after no link of a chain has given a token: for a link that was skipped because its answer was late, and
    /// may have arrived since.
    async fn fetch_late(&self, _scope: &str, _deadline: Instant) -> Option<Result<FetchedToken, Error>> {
        None
    }

    /// The credential in the form that a chain uses, if that differs.
    fn as_link(&self) -> Option<Arc<dyn TokenSource>> {
        None
    }

    /// The tenant that it requests tokens of; `None` if it leaves the choice to others.
    fn tenant(&self) -> Option<TenantId> {
        None
    }

    /// The same credential for tokens of another tenant; `None` if it has one tenant only.
    fn with_tenant(&self, _tenant_id: TenantId) -> Option<Arc<dyn TokenSource>> {
        None
    }

    /// The credential for tokens of a tenant, if it may and can request them. Only a credential that consists of others has
    /// its own answer.
    ///
    /// # Arguments
    /// * `allowed`: the caller lists this tenant in `additionally_allowed_tenants`
    fn in_tenant(&self, tenant_id: &TenantId, allowed: bool) -> Option<Arc<dyn TokenSource>> {
        let own = self.tenant();
        request::may_serve(own.as_ref(), tenant_id, allowed).then(|| self.with_tenant(tenant_id.clone()))?
    }

    /// Whether its tokens may be given to other processes of the same user that have the same fingerprint.
    fn is_shareable(&self) -> bool {
        false
    }

    /// Hash what distinguishes it from others of its name: its settings, with the secret that entitles it to the token. The
    /// environment is hashed elsewhere.
    fn fingerprint(&self, _state: &mut dyn Hasher) {}

    /// The credentials that it asked when it last looked for one that gives tokens, with their answers; for a chain.
    fn attempts(&self) -> Vec<Attempt> {
        Vec::new()
    }

    /// Whether Python takes over after this error: then the fetch is abandoned instead of answered.
    fn hands_over(&self, _error: &Error) -> bool {
        false
    }
}

tokio::task_local! {
    /// Where a fetch reports its progress.
    static PROGRESS: Progress;
}

/// Make a fetch with `source`, in the background. It always ends with an answer or an abandoned fetch.
pub fn start(fetch: Fetch, source: Arc<dyn TokenSource>) {
    let name = source.name();
    let (scope, progress) = (Arc::clone(fetch.scope()), fetch.progress().clone());
    let unwanted = fetch.unwanted().clone();
    let pause = fetch.pause();
    // Shared with the task, so that an answer is possible if the task cannot be started.
    let slot = Arc::new(Mutex::new(Some(fetch)));
    let take = |slot: &Mutex<Option<Fetch>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let task_slot = Arc::clone(&slot);
    let started = runtime::spawn(async move {
        tokio::time::sleep(pause).await;
        let deadline = Instant::now() + FETCH_LIMIT;
        let fetched = PROGRESS.scope(progress, shared_cache::fetch(&*source, &scope, &unwanted, deadline));
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
        let reason = format!("{name}: could not start a thread to fetch a token: {error}");
        fetch.answer(name, Err(Error::Abandoned(reason)));
    }
}

/// Ask one of azure_identity's credentials, until `deadline`.
async fn ask(
    name: &'static str,
    credential: Arc<dyn TokenCredential>,
    scope: &str,
    deadline: Instant,
    log: &AttemptLog,
) -> Result<FetchedToken, Error> {
    let token = bounded(name, deadline, log, async {
        let outcome = credential.get_token(&[scope], None).await;
        outcome.map_err(|error| log.refusal().unwrap_or_else(|| root_message(name, &error)))
    });
    let token = token.await?;
    Ok(FetchedToken::new(token.token.secret().into(), SystemTime::from(token.expires_on)))
}

/// Limit a request of `credential`, and make the error of its failure.
async fn bounded<T>(
    credential: &'static str,
    deadline: Instant,
    log: &AttemptLog,
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

/// Limit one step of a credential.
async fn within<T>(limit: Duration, deadline: Instant, step: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout_at(deadline.min(Instant::now() + limit), step).await.ok()
}

/// azure_identity's message, without the credential's name and the link to Rust's troubleshooting page.
fn root_message(name: &str, error: &azure_core::Error) -> String {
    let text = error.to_string();
    let text = text.split("\nTo troubleshoot").next().unwrap_or_default().trim();
    let text = text.strip_prefix(name).unwrap_or(text).trim_start();
    let text = text.strip_prefix("authentication failed.").unwrap_or(text).trim();
    // azure_core's message at the end of its retries; the log adds the last attempt's.
    let of_retries = text.ends_with("will no longer be retried") || text.ends_with("will not be retried");
    if of_retries { "the request for a token failed" } else { text }.to_owned()
}

/// An environment variable, unless it is empty.
fn variable(name: &str) -> Option<String> {
    // Lossy: a value that is not UTF-8 leads to an error about it instead of counting as not set.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// A scope as a resource, which is how services before Entra ID's version 2 name it.
fn resource_of(scope: &str) -> &str {
    scope.strip_suffix("/.default").unwrap_or(scope)
}
