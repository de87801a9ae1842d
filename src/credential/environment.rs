//! A service principal named by environment variables.

use async_trait::async_trait;
use std::hash::{Hash, Hasher};
use tokio::time::Instant;

use super::{Authority, CertificateSource, ClientCertificateCredential, ClientSecretCredential, TokenSource, variable};
use crate::{cache::FetchedToken, error::Error};

const NAME: &str = "EnvironmentCredential";

/// `AZURE_TENANT_ID` and `AZURE_CLIENT_ID` with `AZURE_CLIENT_SECRET`, or else with `AZURE_CLIENT_CERTIFICATE_PATH`.
#[derive(Debug, Default, Hash)]
pub struct EnvironmentCredential {
    /// Another tenant than that of the environment.
    pub tenant_id: Option<String>,
    /// Where to sign in; by default what `AZURE_AUTHORITY_HOST` says, or the public cloud.
    pub authority: Option<Authority>,
}

impl EnvironmentCredential {
    fn configured(&self) -> Result<Box<dyn TokenSource>, String> {
        let mut missing = Vec::new();
        let mut setting = |name| {
            variable(name).unwrap_or_else(|| {
                missing.push(name);
                String::new()
            })
        };
        let tenant_id = setting("AZURE_TENANT_ID");
        let client_id = setting("AZURE_CLIENT_ID");
        let secret = variable("AZURE_CLIENT_SECRET");
        let certificate = variable("AZURE_CLIENT_CERTIFICATE_PATH");
        if secret.is_none() && certificate.is_none() {
            missing.push("AZURE_CLIENT_SECRET (or AZURE_CLIENT_CERTIFICATE_PATH)");
        }
        if !missing.is_empty() {
            return Err(format!("not set: {}", missing.join(", ")));
        }
        let tenant_id = self.tenant_id.clone().unwrap_or(tenant_id);
        let authority = self.authority.clone();
        if let Some(secret) = secret {
            let client_secret = secret.into();
            return Ok(Box::new(ClientSecretCredential { tenant_id, client_id, client_secret, authority }));
        }
        let password = variable("AZURE_CLIENT_CERTIFICATE_PASSWORD").map(Into::into);
        let send = variable("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
        Ok(Box::new(ClientCertificateCredential {
            tenant_id,
            client_id,
            certificate: CertificateSource::File(certificate.unwrap_or_default().into(), password),
            send_certificate_chain: send.is_some_and(|text| text != "0" && !text.eq_ignore_ascii_case("false")),
            authority,
        }))
    }
}

#[async_trait]
impl TokenSource for EnvironmentCredential {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_shareable(&self) -> bool {
        true
    }

    fn fingerprint(&self, mut state: &mut dyn Hasher) {
        self.hash(&mut state);
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let configured =
            self.configured().map_err(|reason| Error::CredentialUnavailable { credential: NAME, reason })?;
        configured.fetch(scope, deadline).await.map_err(|error| error.of_credential(NAME))
    }
}
