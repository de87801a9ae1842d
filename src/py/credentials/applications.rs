//! Applications (service principals), by a secret, a certificate or an assertion.

use std::sync::Arc;

use pyo3::prelude::*;

use super::{
    ClientOptions, Credential,
    arguments::{self, given, required, tenant},
    narrowed,
};
use crate::{
    credential::{
        AzurePipelinesCredential, CertificateSource, ClientAssertionCredential, ClientCertificateCredential,
        ClientSecretCredential, EnvironmentCredential, SigningCertificate, configured, start,
    },
    error::Error,
    platform::secret::Secret,
    py::{errors::checked, fetch::Fetch},
};

#[pymethods]
impl Credential {
    #[staticmethod]
    #[pyo3(signature = (*, authority=None))]
    fn environment(py: Python<'_>, authority: Option<&str>) -> PyResult<Self> {
        Ok(Self::native(EnvironmentCredential { tenant_id: None, authority: arguments::authority(py, authority)? }))
    }

    #[staticmethod]
    #[pyo3(signature = (tenant_id, client_id, client_secret, *, authority=None))]
    fn client_secret(
        py: Python<'_>,
        tenant_id: String,
        client_id: String,
        client_secret: String,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        Ok(Self::native(ClientSecretCredential {
            tenant_id: tenant(py, "tenant_id", tenant_id)?,
            client_id: required(py, "client_id", client_id)?,
            client_secret: Secret::from(required(py, "client_secret", client_secret)?),
            authority: arguments::authority(py, authority)?,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (tenant_id, client_id, *, path=None, data=None, password=None, send_certificate_chain=false, authority=None))]
    #[allow(clippy::too_many_arguments, reason = "azure-identity's keywords")]
    fn client_certificate(
        py: Python<'_>,
        tenant_id: String,
        client_id: String,
        path: Option<String>,
        data: Option<&[u8]>,
        password: Option<String>,
        send_certificate_chain: bool,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        let password = given(password).map(Secret::from);
        let wrong = |name: &str, why: String| Error::InvalidArgument(format!("{name}{why}"));
        let certificate = match (given(path), data) {
            (Some(path), None) => {
                let source = CertificateSource::File(path.into(), password);
                checked(py, source.read().map_err(|why| wrong("certificate_path=", why)))?;
                source
            }
            (None, Some(data)) => {
                let read = SigningCertificate::read(data, password.as_ref());
                let read = read.map_err(|why| wrong("certificate_data: ", why));
                CertificateSource::Given(Arc::new(checked(py, read)?))
            }
            _ => {
                let why = "give either certificate_path or certificate_data".to_owned();
                return checked(py, Err(Error::InvalidArgument(why)));
            }
        };
        Ok(Self::native(ClientCertificateCredential {
            tenant_id: tenant(py, "tenant_id", tenant_id)?,
            client_id: required(py, "client_id", client_id)?,
            certificate,
            send_certificate_chain,
            authority: arguments::authority(py, authority)?,
        }))
    }

    /// Checks what an application is known by; Python asks it for its assertions, see `Fetch.exchange`.
    #[staticmethod]
    #[pyo3(signature = (tenant_id, client_id, *, authority=None))]
    fn client_assertion(
        py: Python<'_>,
        tenant_id: String,
        client_id: String,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        tenant(py, "tenant_id", tenant_id)?;
        required(py, "client_id", client_id)?;
        arguments::authority(py, authority)?;
        Ok(Self::external("ClientAssertionCredential"))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id, client_id, service_connection_id, system_access_token, authority=None))]
    fn azure_pipelines(
        py: Python<'_>,
        tenant_id: String,
        client_id: String,
        service_connection_id: String,
        system_access_token: String,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        Ok(Self::native(AzurePipelinesCredential {
            tenant_id: tenant(py, "tenant_id", tenant_id)?,
            client_id: required(py, "client_id", client_id)?,
            service_connection_id: required(py, "service_connection_id", service_connection_id)?,
            system_access_token: required(py, "system_access_token", system_access_token)?.into(),
            authority: arguments::authority(py, authority)?,
        }))
    }
}

#[pymethods]
impl Fetch {
    /// Has the engine exchange an assertion that Python has made for this fetch.
    #[pyo3(signature = (tenant_id, client_id, assertion, *, authority=None, options=None, other_tenant_id=None, claims=None))]
    #[allow(clippy::too_many_arguments, reason = "all that a request depends on")]
    fn exchange(
        &self,
        py: Python<'_>,
        tenant_id: String,
        client_id: String,
        assertion: String,
        authority: Option<&str>,
        options: Option<&ClientOptions>,
        other_tenant_id: Option<&str>,
        claims: Option<&str>,
    ) -> PyResult<()> {
        let authority = arguments::authority(py, authority)?;
        if let Some(fetch) = self.take() {
            let assertion = assertion.into();
            let source = Arc::new(ClientAssertionCredential { tenant_id, client_id, assertion, authority });
            let options = options.map(|options| Arc::clone(&options.0)).unwrap_or_default();
            start(fetch, narrowed(configured(source, options), other_tenant_id, claims));
        }
        Ok(())
    }
}
