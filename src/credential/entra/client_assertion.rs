//! An application that authenticates with a signed assertion instead of a secret.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::ClientMethodOptions;
use azure_identity::{ClientAssertion, ClientAssertionCredentialOptions};
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

const NAME: &str = "ClientAssertionCredential";

/// Exchanges one assertion for a token.
#[derive(Debug, Clone)]
pub struct ClientAssertionCredential {
    /// Directory (tenant) id or domain.
    pub tenant_id: TenantId,
    /// Application (client) id.
    pub client_id: ClientId,
    /// The assertion, a JSON Web Token.
    pub assertion: Secret,
    /// The Entra ID authority; by default that of `AZURE_AUTHORITY_HOST`, else the public cloud's.
    pub authority: Option<Authority>,
}

#[async_trait]
impl TokenSource for ClientAssertionCredential {
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
        let application = (&self.tenant_id, &self.client_id);
        exchange(NAME, application, self.assertion.clone(), self.authority.as_ref(), scope, deadline).await
    }
}

#[derive(Debug)]
struct Given(Secret);

#[async_trait]
impl ClientAssertion for Given {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose().to_owned())
    }
}

/// Exchanges an assertion of (tenant id, client id) for an access token.
pub(super) async fn exchange(
    name: &'static str,
    (tenant_id, client_id): (&TenantId, &ClientId),
    assertion: Secret,
    authority: Option<&Authority>,
    scope: &str,
    deadline: Instant,
) -> Result<FetchedToken, Error> {
    let log = AttemptLog::hiding(&assertion);
    let options = ClientAssertionCredentialOptions { client_options: transport::entra(name, authority, log.clone())? };
    let credential = azure_identity::ClientAssertionCredential::new(
        tenant_id.to_string(),
        client_id.to_string(),
        Given(assertion),
        Some(options),
    )
    .map_err(|error| misconfigured(name, &error))?;
    ask(name, credential as Arc<_>, scope, deadline, &log).await
}
