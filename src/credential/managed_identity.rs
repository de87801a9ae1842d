//! Managed identity: App Service's endpoint where its variables are set, else the instance metadata service (IMDS).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use azure_core::http::Url;
use azure_identity::{ManagedIdentityCredentialOptions, UserAssignedId};
use tokio::time::Instant;

use super::{
    TokenSource, ask,
    transport::{self, AttemptLog},
    variable, within,
};
use crate::{
    cache::FetchedToken,
    error::{Error, seconds},
    fork,
};

const NAME: &str = "ManagedIdentityCredential";
const IMDS: &str = "http://169.254.169.254";
const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
/// azure-identity for Python gives IMDS as long to show itself.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// Which user-assigned identity is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserAssigned {
    /// Its client id.
    ClientId(String),
    /// Its object (principal) id.
    ObjectId(String),
    /// Its Azure resource id.
    ResourceId(String),
}

/// The identity that Azure gave to the machine or app that this runs on.
#[derive(Debug)]
pub struct ManagedIdentityCredential {
    user_assigned: Option<UserAssigned>,
    /// In a chain, IMDS is looked for before it is asked: most machines have none and would let us wait.
    probe: bool,
    /// The fork generation plus 1 in which IMDS was seen; 0 for never. A container that is checkpointed and moved forks too.
    seen: AtomicU32,
}

impl ManagedIdentityCredential {
    /// The system-assigned identity, or the user-assigned one that is named.
    #[must_use]
    pub const fn new(user_assigned: Option<UserAssigned>) -> Self {
        Self { user_assigned, probe: false, seen: AtomicU32::new(0) }
    }

    /// The same as a link of a chain: looks for IMDS first, for at most a second.
    #[must_use]
    pub const fn probing(user_assigned: Option<UserAssigned>) -> Self {
        Self { user_assigned, probe: true, seen: AtomicU32::new(0) }
    }

    fn unavailable(reason: String) -> Error {
        Error::CredentialUnavailable { credential: NAME, reason }
    }

    /// Any answer at all shows that IMDS is there; without its header it answers 400.
    async fn look_for_imds(&self, base: &Url, deadline: Instant) -> Result<(), Error> {
        let mark = fork::generation() + 1;
        if self.seen.load(Ordering::Relaxed) == mark {
            return Ok(());
        }
        let host = base.host_str().unwrap_or_default();
        let mut url = base.clone();
        url.set_path(&format!("{}{IMDS_PATH}", base.path().trim_end_matches('/')));
        let client = transport::plain_client().map_err(|error| Self::unavailable(transport::innermost(&error)))?;
        match within(PROBE_LIMIT, deadline, client.get(url).send()).await {
            Some(Ok(_)) => {
                self.seen.store(mark, Ordering::Relaxed);
                Ok(())
            }
            Some(Err(error)) => Err(Self::unavailable(format!(
                "{host} could not be reached ({}), so this machine has no managed identity endpoint",
                transport::innermost(&error)
            ))),
            None => Err(Self::unavailable(format!(
                "{host} did not answer within {} s, so this machine has no managed identity endpoint",
                seconds(PROBE_LIMIT)
            ))),
        }
    }
}

#[async_trait]
impl TokenSource for ManagedIdentityCredential {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        // azure_identity reads the same variables to choose between the two.
        let app_service = variable("IDENTITY_ENDPOINT").is_some() && variable("IDENTITY_HEADER").is_some();
        let base = if app_service {
            None
        } else {
            // azure_identity knows IMDS' own address only; azure-identity for Python reads this variable.
            const OVERRIDE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
            let base = variable(OVERRIDE).unwrap_or_else(|| IMDS.to_owned());
            Some(transport::parse_endpoint(OVERRIDE, &base).map_err(Self::unavailable)?)
        };
        if let (true, Some(base)) = (self.probe, &base) {
            self.look_for_imds(base, deadline).await?;
        }
        let log = AttemptLog::hiding(&variable("IDENTITY_HEADER").unwrap_or_default().into());
        // As a link of the default chain it means what the environment names.
        let from_environment = || variable("AZURE_CLIENT_ID").filter(|_| self.probe).map(UserAssigned::ClientId);
        let user_assigned_id = self.user_assigned.clone().or_else(from_environment).map(|id| match id {
            UserAssigned::ClientId(id) => UserAssignedId::ClientId(id),
            UserAssigned::ObjectId(id) => UserAssignedId::ObjectId(id),
            UserAssigned::ResourceId(id) => UserAssignedId::ResourceId(id),
        });
        let options = ManagedIdentityCredentialOptions {
            user_assigned_id,
            client_options: transport::managed_identity(NAME, base, log.clone())?,
        };
        let credential = azure_identity::ManagedIdentityCredential::new(Some(options))
            .map_err(|error| Self::unavailable(super::root_message(NAME, &error)))?;
        let outcome = ask(NAME, credential as Arc<_>, scope, deadline, &log).await;
        match outcome {
            // IMDS is there, an identity is not; or, from within Docker Desktop, a host that cannot reach one.
            Err(Error::AuthenticationFailed { reason, .. })
                if !app_service
                    && (log.status() == Some(400) || log.status() == Some(403) && reason.contains("unreachable")) =>
            {
                Err(Self::unavailable(reason))
            }
            // It states dates by its own clock, and ours may be minutes off.
            outcome => outcome.map(|token| FetchedToken { expires_at: log.by_our_clock(token.expires_at), ..token }),
        }
    }
}
