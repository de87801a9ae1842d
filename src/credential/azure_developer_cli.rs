//! Whoever is signed in to the Azure Developer CLI.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_identity::AzureDeveloperCliCredentialOptions;
use tokio::time::Instant;

use super::{TokenSource, ask, azure_cli::unavailable, command::BoundedExecutor, root_message, transport::AttemptLog};
use crate::{cache::FetchedToken, error::Error};

const NAME: &str = "AzureDeveloperCliCredential";

/// Runs `azd auth token`.
#[derive(Debug)]
pub struct AzureDeveloperCliCredential {
    /// Tenant to sign in to; by default the one of azd's environment.
    pub tenant_id: Option<String>,
    /// How long `azd` may take.
    pub process_timeout: Duration,
}

#[async_trait]
impl TokenSource for AzureDeveloperCliCredential {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let options = AzureDeveloperCliCredentialOptions {
            tenant_id: self.tenant_id.clone(),
            executor: Some(BoundedExecutor::new(self.process_timeout, deadline)),
        };
        let credential = azure_identity::AzureDeveloperCliCredential::new(Some(options))
            .map_err(|error| Error::AuthenticationFailed { credential: NAME, reason: root_message(NAME, &error) })?;
        ask(NAME, credential as Arc<_>, scope, deadline, &AttemptLog::default())
            .await
            .map_err(|error| unavailable(NAME, "Azure Developer CLI (azd)", "azd auth login", error))
    }
}
