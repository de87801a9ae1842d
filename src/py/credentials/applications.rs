//! Applications (service principals), by a secret, a certificate or an assertion.

use std::sync::Arc;

use pyo3::prelude::*;

use super::{
    ClientOptions, Credential,
    arguments::{self, given, optional, required, valid},
    narrowed,
};
use crate::{
    credential::{
        AzurePipelinesCredential, CertificateSource, ClientAssertionCredential, ClientCertificateCredential, ClientId,
        ClientSecretCredential, EnvironmentCredential, SigningCertificate, TenantId, configured, parse_id,
        parse_secret, start,
    },
    platform::secret::Secret,
    py::fetch::Fetch,
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
        tenant_id: &str,
        client_id: &str,
        client_secret: &str,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        Ok(Self::native(ClientSecretCredential {
            tenant_id: required(py, "tenant_id", tenant_id, TenantId::parse)?,
            client_id: required(py, "client_id", client_id, ClientId::parse)?,
            client_secret: required(py, "client_secret", client_secret, parse_secret)?,
            authority: arguments::authority(py, authority)?,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (tenant_id, client_id, *, path=None, data=None, password=None, send_certificate_chain=false, authority=None))]
    #[allow(clippy::too_many_arguments, reason = "azure-identity's keywords")]
    fn client_certificate(
        py: Python<'_>,
        tenant_id: &str,
        client_id: &str,
        path: Option<String>,
        data: Option<&[u8]>,
        password: Option<String>,
        send_certificate_chain: bool,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        let password = given(password).map(Secret::from);
        let certificate = match (given(path), data) {
            (Some(path), None) => {
                let source = CertificateSource::File(path.into(), password);
                valid(py, source.read().map_err(|why| format!("certificate_path={why}")))?;
                source
            }
            (None, Some(data)) => {
                let read = SigningCertificate::read(data, password.as_ref());
                CertificateSource::Given(Arc::new(valid(py, read.map_err(|why| format!("certificate_data: {why}")))?))
            }
            _ => return valid(py, Err("give either certificate_path or certificate_data")),
        };
        Ok(Self::native(ClientCertificateCredential {
            tenant_id: required(py, "tenant_id", tenant_id, TenantId::parse)?,
            client_id: required(py, "client_id", client_id, ClientId::parse)?,
            certificate,
            send_certificate_chain,
            authority: arguments::authority(py, authority)?,
        }))
    }

    /// An application whose assertions Python makes, see `Fetch.exchange`. Its settings are only checked here.
    #[staticmethod]
    #[pyo3(signature = (tenant_id, client_id, *, authority=None))]
    fn client_assertion(py: Python<'_>, tenant_id: &str, client_id: &str, authority: Option<&str>) -> PyResult<Self> {
        required(py, "tenant_id", tenant_id, TenantId::parse)?;
        required(py, "client_id", client_id, ClientId::parse)?;
        arguments::authority(py, authority)?;
        Ok(Self::external("ClientAssertionCredential"))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id, client_id, service_connection_id, system_access_token, authority=None))]
    fn azure_pipelines(
        py: Python<'_>,
        tenant_id: &str,
        client_id: &str,
        service_connection_id: &str,
        system_access_token: &str,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        Ok(Self::native(AzurePipelinesCredential {
            tenant_id: required(py, "tenant_id", tenant_id, TenantId::parse)?,
            client_id: required(py, "client_id", client_id, ClientId::parse)?,
            service_connection_id: required(py, "service_connection_id", service_connection_id, parse_id)?,
            system_access_token: required(py, "system_access_token", system_access_token, parse_secret)?,
            authority: arguments::authority(py, authority)?,
        }))
    }
}

#[pymethods]
impl Fetch {
    /// Let the engine exchange an assertion that Python has made for this fetch.
    #[pyo3(signature = (tenant_id, client_id, assertion, *, authority=None, options=None, other_tenant_id=None, claims=None))]
    #[allow(clippy::too_many_arguments, reason = "all that a request depends on")]
    fn exchange(
        &self,
        py: Python<'_>,
        tenant_id: &str,
        client_id: &str,
        assertion: String,
        authority: Option<&str>,
        options: Option<&ClientOptions>,
        other_tenant_id: Option<&str>,
        claims: Option<&str>,
    ) -> PyResult<()> {
        let tenant_id = required(py, "tenant_id", tenant_id, TenantId::parse)?;
        let client_id = required(py, "client_id", client_id, ClientId::parse)?;
        let other_tenant_id = optional(py, "tenant_id", other_tenant_id, TenantId::parse)?;
        let authority = arguments::authority(py, authority)?;
        if let Some(fetch) = self.take() {
            let assertion = assertion.into();
            let source = Arc::new(ClientAssertionCredential { tenant_id, client_id, assertion, authority });
            let options = options.map(|options| Arc::clone(&options.0)).unwrap_or_default();
            start(fetch, narrowed(configured(source, options), other_tenant_id.as_ref(), claims));
        }
        Ok(())
    }
}
