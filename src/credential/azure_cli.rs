//! Whoever is signed in to the Azure CLI.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_identity::AzureCliCredentialOptions;
use tokio::time::Instant;

use super::{TokenSource, ask, command::BoundedExecutor, root_message, transport::AttemptLog};
use crate::{cache::FetchedToken, error::Error};

const NAME: &str = "AzureCliCredential";

/// Runs `az account get-access-token`.
#[derive(Debug)]
pub struct AzureCliCredential {
    /// Tenant to sign in to; by default the CLI's own.
    pub tenant_id: Option<String>,
    /// Name or id of the subscription whose account to use; by default the CLI's current one.
    pub subscription: Option<String>,
    /// How long `az` may take.
    pub process_timeout: Duration,
}

/// A developer's tool that does not work is a link that is not there: a chain goes on to the next.
pub(super) fn unavailable(credential: &'static str, tool: &str, sign_in: &str, error: Error) -> Error {
    let Error::AuthenticationFailed { reason, .. } = error else { return error };
    let reason = if reason.contains("not found on PATH") {
        format!("{tool} is not installed or not on PATH")
    } else {
        format!("{reason}; if you are not signed in, run `{sign_in}`")
    };
    Error::CredentialUnavailable { credential, reason }
}

#[async_trait]
impl TokenSource for AzureCliCredential {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let options = AzureCliCredentialOptions {
            tenant_id: self.tenant_id.clone(),
            subscription: self.subscription.clone(),
            executor: Some(BoundedExecutor::new(self.process_timeout, deadline)),
        };
        let credential = azure_identity::AzureCliCredential::new(Some(options))
            .map_err(|error| Error::AuthenticationFailed { credential: NAME, reason: root_message(NAME, &error) })?;
        ask(NAME, credential as Arc<_>, scope, deadline, &AttemptLog::default())
            .await
            .map_err(|error| unavailable(NAME, "Azure CLI (az)", "az login", error))
    }
}
