//! A service connection of Azure Pipelines.

use std::sync::Arc;

use async_trait::async_trait;
use azure_identity::{AzurePipelinesCredentialOptions, ClientAssertionCredentialOptions};
use tokio::time::Instant;

use crate::{
    cache::FetchedToken,
    credential::{
        Authority, ClientId, TenantId, TokenSource, ask,
        http::{
            attempt_log::AttemptLog,
            transport::{self, parse_endpoint},
        },
        misconfigured, variable,
    },
    error::{Attempt, Error, Status},
    platform::{secret::Secret, variables::SYSTEM_OIDCREQUESTURI},
};

const NAME: &str = "AzurePipelinesCredential";

/// Exchanges Azure Pipelines' token for the running job for an access token.
#[derive(Debug, Clone)]
pub struct AzurePipelinesCredential {
    /// Directory (tenant) id of the service connection.
    pub tenant_id: TenantId,
    /// Application (client) id of the service connection.
    pub client_id: ClientId,
    /// The service connection's id.
    pub service_connection_id: String,
    /// The job's own token, `System.AccessToken`.
    pub system_access_token: Secret,
    /// The Entra ID authority; by default that of `AZURE_AUTHORITY_HOST`, else the public cloud's.
    pub authority: Option<Authority>,
}

#[async_trait]
impl TokenSource for AzurePipelinesCredential {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant_id.clone())
    }

    fn with_tenant(&self, tenant_id: TenantId) -> Option<Arc<dyn TokenSource>> {
        Some(Arc::new(Self { tenant_id, ..self.clone() }))
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let unavailable = |reason: String| Attempt::new(NAME, Status::Unavailable, reason);
        let endpoint = variable(SYSTEM_OIDCREQUESTURI).ok_or_else(|| {
            unavailable(format!("{SYSTEM_OIDCREQUESTURI} is not set"))
                .with_remedy("use it in a step of a job, where Azure Pipelines sets it")
        })?;
        parse_endpoint(SYSTEM_OIDCREQUESTURI, &endpoint).map_err(unavailable)?;
        let log = AttemptLog::hiding(&self.system_access_token);
        let options = AzurePipelinesCredentialOptions {
            credential_options: ClientAssertionCredentialOptions {
                client_options: transport::entra(NAME, self.authority.as_ref(), log.clone())?,
            },
        };
        let credential = azure_identity::AzurePipelinesCredential::new(
            self.tenant_id.to_string(),
            self.client_id.to_string(),
            &self.service_connection_id,
            self.system_access_token.expose().to_owned(),
            Some(options),
        )
        .map_err(|error| misconfigured(NAME, &error))?;
        ask(NAME, credential as Arc<_>, scope, deadline, &log).await
    }
}
