//! A service principal named by environment variables.

use async_trait::async_trait;
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};
use tokio::time::Instant;

use crate::{
    cache::FetchedToken,
    credential::{
        Authority, CertificateSource, ClientCertificateCredential, ClientId, ClientSecretCredential, TenantId,
        TokenSource,
        defect::{Defect, path_setting, setting},
        values::missing,
        variable,
    },
    error::{Attempt, Error, Status},
    platform::variables::{self, AZURE_CLIENT_CERTIFICATE_PATH, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_TENANT_ID},
};

const NAME: &str = "EnvironmentCredential";

/// `AZURE_TENANT_ID` and `AZURE_CLIENT_ID` with `AZURE_CLIENT_SECRET`, or else with `AZURE_CLIENT_CERTIFICATE_PATH`.
#[derive(Debug, Clone, Default, Hash)]
pub struct EnvironmentCredential {
    /// Another tenant than that of the environment.
    pub tenant_id: Option<TenantId>,
    /// Where to sign in; by default what `AZURE_AUTHORITY_HOST` says, or the public cloud.
    pub authority: Option<Authority>,
}

impl EnvironmentCredential {
    fn configured(&self) -> Result<Box<dyn TokenSource>, Error> {
        const NAMES: [&str; 4] = [AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH];
        const NO_SECRET: &str = "AZURE_CLIENT_SECRET (or AZURE_CLIENT_CERTIFICATE_PATH)";
        let [tenant, client, secret, certificate] = NAMES.map(|name| variable(name).is_some());
        let needed = [(NAMES[0], tenant), (NAMES[1], client), (NO_SECRET, secret || certificate)];
        let missing: Vec<_> = needed.into_iter().filter(|(_, set)| !set).map(|(name, _)| name).collect();
        if !missing.is_empty() {
            let reason = format!("not set: {}", missing.join(", "));
            return Err(Attempt::new(NAME, Status::Unavailable, reason).into());
        }
        self.complete().map_err(|defect| defect.of(NAME))
    }

    fn complete(&self) -> Result<Box<dyn TokenSource>, Defect> {
        let own_tenant = TenantId::of_environment()?;
        let tenant_id = self.tenant_id.clone().or(own_tenant).ok_or_else(|| missing(AZURE_TENANT_ID))?;
        let client_id = ClientId::of_environment()?.ok_or_else(|| missing(AZURE_CLIENT_ID))?;
        let authority = self.authority.clone();
        if let Some(secret) = setting(AZURE_CLIENT_SECRET)? {
            let client_secret = secret.into();
            return Ok(Box::new(ClientSecretCredential { tenant_id, client_id, client_secret, authority }));
        }
        let certificate = path_setting(AZURE_CLIENT_CERTIFICATE_PATH)?;
        // Not looked at more closely: a password may have anything.
        let password = variable(variables::AZURE_CLIENT_CERTIFICATE_PASSWORD).map(Into::into);
        let send = variable(variables::AZURE_CLIENT_SEND_CERTIFICATE_CHAIN);
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

    fn tenant(&self) -> Option<TenantId> {
        self.tenant_id.clone().or_else(|| TenantId::of_environment().ok().flatten())
    }

    fn with_tenant(&self, tenant_id: TenantId) -> Option<Arc<dyn TokenSource>> {
        Some(Arc::new(Self { tenant_id: Some(tenant_id), ..self.clone() }))
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        self.configured()?.fetch(scope, deadline).await.map_err(|error| error.of_credential(NAME))
    }
}
