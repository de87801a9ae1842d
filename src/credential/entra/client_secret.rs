//! A service principal with a client secret.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use async_trait::async_trait;
use azure_identity::ClientSecretCredentialOptions;
use tokio::time::Instant;

use crate::{
    cache::FetchedToken,
    credential::{
        Authority, ClientId, TenantId, TokenSource, ask,
        http::{attempt_log::AttemptLog, transport},
        misconfigured,
    },
    error::Error,
    platform::secret::Secret,
};

const NAME: &str = "ClientSecretCredential";

/// Signs an application in with a client secret.
#[derive(Debug, Clone, Hash)]
pub struct ClientSecretCredential {
    /// Directory (tenant) id or domain.
    pub tenant_id: TenantId,
    /// Application (client) id.
    pub client_id: ClientId,
    /// The secret's value.
    pub client_secret: Secret,
    /// The Entra ID authority; by default that of `AZURE_AUTHORITY_HOST`, else the public cloud's.
    pub authority: Option<Authority>,
}

#[async_trait]
impl TokenSource for ClientSecretCredential {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_shareable(&self) -> bool {
        true
    }

    fn fingerprint(&self, mut state: &mut dyn Hasher) {
        self.hash(&mut state);
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant_id.clone())
    }

    fn with_tenant(&self, tenant_id: TenantId) -> Option<Arc<dyn TokenSource>> {
        Some(Arc::new(Self { tenant_id, ..self.clone() }))
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let log = AttemptLog::hiding(&self.client_secret);
        let options = ClientSecretCredentialOptions {
            client_options: transport::entra(NAME, self.authority.as_ref(), log.clone())?,
        };
        let credential = azure_identity::ClientSecretCredential::new(
            &self.tenant_id,
            self.client_id.to_string(),
            self.client_secret.expose().to_owned().into(),
            Some(options),
        )
        .map_err(|error| misconfigured(NAME, &error))?;
        ask(NAME, credential as Arc<_>, scope, deadline, &log).await
    }
}
