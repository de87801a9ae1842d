//! The native credentials; `azure_postgresql_auth.identity` documents and names them for users.

use std::{sync::Arc, time::Duration};

use pyo3::{exceptions::PyValueError, prelude::*};

use super::provider::{TokenProvider, checked, patience};
use crate::{
    credential::{
        Authority, AzureCliCredential, AzureDeveloperCliCredential, ChainedTokenCredential, ClientSecretCredential,
        DefaultChain, EnvironmentCredential, ManagedIdentityCredential, UserAssigned, WorkloadIdentityCredential,
    },
    error::Error,
    secret::Secret,
};

fn authority(py: Python<'_>, text: Option<&str>) -> PyResult<Option<Authority>> {
    checked(py, text.map(Authority::parse).transpose())
}

fn process_timeout(seconds: Option<f64>) -> PyResult<Duration> {
    seconds.map_or(Ok(crate::credential::PROCESS_TIMEOUT), patience)
}

/// Tenant ids end up in a URL, and on `az`'s command line.
fn tenant(py: Python<'_>, text: Option<String>) -> PyResult<Option<String>> {
    let valid = |text: &str| {
        !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-'))
    };
    match text {
        Some(text) if !valid(&text) => checked(
            py,
            Err(Error::InvalidArgument(format!(
                "tenant_id={text:?}: expected a directory (tenant) id such as 11111111-2222-3333-4444-555555555555, or a domain"
            ))),
        ),
        other => Ok(other),
    }
}

fn required(py: Python<'_>, name: &str, text: String) -> PyResult<String> {
    if text.is_empty() {
        return checked(py, Err(Error::InvalidArgument(format!("{name} is required and must not be empty"))));
    }
    Ok(text)
}

#[pymethods]
impl TokenProvider {
    #[staticmethod]
    #[pyo3(signature = (*, authority=None))]
    fn environment(py: Python<'_>, authority: Option<&str>) -> PyResult<Self> {
        Ok(Self::native(EnvironmentCredential { authority: self::authority(py, authority)? }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, client_id=None, object_id=None, resource_id=None))]
    fn managed_identity(
        py: Python<'_>,
        client_id: Option<String>,
        object_id: Option<String>,
        resource_id: Option<String>,
    ) -> PyResult<Self> {
        let named = [
            client_id.map(UserAssigned::ClientId),
            object_id.map(UserAssigned::ObjectId),
            resource_id.map(UserAssigned::ResourceId),
        ];
        let mut named = named.into_iter().flatten();
        let identity = named.next();
        if named.next().is_some() {
            return checked(
                py,
                Err(Error::InvalidArgument(
                    "a managed identity is named once: give one of client_id, object_id and resource_id".to_owned(),
                )),
            );
        }
        Ok(Self::native(ManagedIdentityCredential::new(identity)))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, client_id=None, token_file_path=None, authority=None))]
    fn workload_identity(
        py: Python<'_>,
        tenant_id: Option<String>,
        client_id: Option<String>,
        token_file_path: Option<String>,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        let tenant_id = tenant(py, tenant_id)?;
        let authority = self::authority(py, authority)?;
        Ok(Self::native(WorkloadIdentityCredential { tenant_id, client_id, token_file_path, authority }))
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
            tenant_id: tenant(py, Some(tenant_id))?.unwrap_or_default(),
            client_id: required(py, "client_id", client_id)?,
            client_secret: Secret::from(required(py, "client_secret", client_secret)?),
            authority: self::authority(py, authority)?,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, subscription=None, process_timeout=None))]
    fn azure_cli(
        py: Python<'_>,
        tenant_id: Option<String>,
        subscription: Option<String>,
        process_timeout: Option<f64>,
    ) -> PyResult<Self> {
        let process_timeout = self::process_timeout(process_timeout)?;
        Ok(Self::native(AzureCliCredential { tenant_id: tenant(py, tenant_id)?, subscription, process_timeout }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, process_timeout=None))]
    fn azure_developer_cli(py: Python<'_>, tenant_id: Option<String>, process_timeout: Option<f64>) -> PyResult<Self> {
        let process_timeout = self::process_timeout(process_timeout)?;
        Ok(Self::native(AzureDeveloperCliCredential { tenant_id: tenant(py, tenant_id)?, process_timeout }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, exclude, managed_identity_client_id=None, workload_identity_client_id=None, authority=None, process_timeout=None))]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 extracts a Vec")]
    fn default_chain(
        py: Python<'_>,
        exclude: Vec<String>,
        managed_identity_client_id: Option<String>,
        workload_identity_client_id: Option<String>,
        authority: Option<&str>,
        process_timeout: Option<f64>,
    ) -> PyResult<Self> {
        let excluded = |link: &str| exclude.iter().any(|name| name == link);
        let chain = DefaultChain {
            exclude_environment: excluded("environment"),
            exclude_workload_identity: excluded("workload_identity"),
            exclude_managed_identity: excluded("managed_identity"),
            exclude_cli: excluded("cli"),
            exclude_developer_cli: excluded("developer_cli"),
            managed_identity_client_id,
            workload_identity_client_id,
            authority: self::authority(py, authority)?,
            process_timeout: Some(self::process_timeout(process_timeout)?),
        };
        Ok(Self::native(chain.build()))
    }

    #[staticmethod]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 extracts a Vec")]
    fn chain(links: Vec<PyRef<'_, Self>>) -> PyResult<Self> {
        let sources: Option<Vec<Arc<_>>> = links.iter().map(|link| link.source()).collect();
        let sources = sources.ok_or_else(|| PyValueError::new_err("a native chain holds native credentials only"))?;
        Ok(Self::native(ChainedTokenCredential::new(sources)))
    }
}
