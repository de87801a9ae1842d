//! A service principal with a certificate.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{client_assertion::exchange, signing_certificate::SigningCertificate};
use crate::{
    cache::FetchedToken,
    credential::{Authority, ClientId, TenantId, TokenSource},
    error::{Attempt, Error, Status},
    platform::secret::Secret,
};

const NAME: &str = "CertificateCredential";

/// The source of a certificate with its private key.
#[derive(Debug, Clone)]
pub enum CertificateSource {
    /// In a file, read at every fetch, because certificates are renewed; and its password.
    File(PathBuf, Option<Secret>),
    /// Already read.
    Given(Arc<SigningCertificate>),
}

impl CertificateSource {
    /// Read the certificate.
    ///
    /// # Errors
    /// The file cannot be read, or holds none.
    pub fn read(&self) -> Result<Arc<SigningCertificate>, String> {
        match self {
            Self::Given(certificate) => Ok(Arc::clone(certificate)),
            Self::File(path, password) => {
                let read = std::fs::read(path).map_err(|error| format!("it could not be read: {error}"));
                read.and_then(|data| SigningCertificate::read(&data, password.as_ref()))
                    .map(Arc::new)
                    .map_err(|why| format!("{}: {why}", path.display()))
            }
        }
    }
}

/// Signs an application in with a certificate that is registered with it in Entra ID.
#[derive(Debug, Clone)]
pub struct ClientCertificateCredential {
    /// Directory (tenant) id or domain.
    pub tenant_id: TenantId,
    /// Application (client) id.
    pub client_id: ClientId,
    /// Certificate and private key, PEM or PKCS#12.
    pub certificate: CertificateSource,
    /// Whether the certificates are sent as well, for applications that trust a subject and issuer.
    pub send_certificate_chain: bool,
    /// The Entra ID authority; by default that of `AZURE_AUTHORITY_HOST`, else the public cloud's.
    pub authority: Option<Authority>,
}

#[async_trait]
impl TokenSource for ClientCertificateCredential {
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
        let failed = |reason: String| Attempt::new(NAME, Status::Misconfigured, reason);
        let certificate = self.certificate.read().map_err(failed)?;
        let authority = Authority::resolve(NAME, self.authority.as_ref())?;
        let assertion = certificate
            .assertion(&authority.token_endpoint(&self.tenant_id), &self.client_id, self.send_certificate_chain)
            .map_err(failed)?;
        exchange(NAME, (&self.tenant_id, &self.client_id), assertion, Some(&authority), scope, deadline).await
    }
}
