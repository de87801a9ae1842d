//! A service principal named by environment variables.

use async_trait::async_trait;
use tokio::time::Instant;

use super::{ClientSecretCredential, TokenSource, transport::Authority, variable};
use crate::{cache::FetchedToken, error::Error};

const NAME: &str = "EnvironmentCredential";

/// `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`.
#[derive(Debug, Default)]
pub struct EnvironmentCredential {
    /// Where to sign in; by default what `AZURE_AUTHORITY_HOST` says, or the public cloud.
    pub authority: Option<Authority>,
}

#[async_trait]
impl TokenSource for EnvironmentCredential {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let mut missing = Vec::new();
        let mut setting = |name| {
            variable(name).unwrap_or_else(|| {
                missing.push(name);
                String::new()
            })
        };
        let tenant_id = setting("AZURE_TENANT_ID");
        let client_id = setting("AZURE_CLIENT_ID");
        let client_secret = setting("AZURE_CLIENT_SECRET");
        if !missing.is_empty() {
            return Err(Error::CredentialUnavailable {
                credential: NAME,
                reason: format!("not set: {}", missing.join(", ")),
            });
        }
        let credential = ClientSecretCredential {
            tenant_id,
            client_id,
            client_secret: client_secret.into(),
            authority: self.authority.clone(),
        };
        credential.fetch(scope, deadline).await.map_err(|error| match error {
            Error::AuthenticationFailed { reason, .. } => Error::AuthenticationFailed { credential: NAME, reason },
            other => other,
        })
    }
}
