//! Identities of machines, containers and pods, and of developers who are signed in to a command line.

use pyo3::prelude::*;

use super::{
    Credential,
    arguments::{self, given, optional, valid},
};
use crate::credential::{
    AzureCliCredential, AzureDeveloperCliCredential, AzurePowerShellCredential, ClientId, ManagedIdentityCredential,
    Subscription, TenantId, UserAssigned, WorkloadIdentityCredential,
};

#[pymethods]
impl Credential {
    #[staticmethod]
    #[pyo3(signature = (*, client_id=None, object_id=None, resource_id=None))]
    fn managed_identity(
        py: Python<'_>,
        client_id: Option<&str>,
        object_id: Option<&str>,
        resource_id: Option<&str>,
    ) -> PyResult<Self> {
        let identity = UserAssigned::parse(given(client_id), given(object_id), given(resource_id));
        let identity = valid(py, identity)?;
        Ok(Self::native(ManagedIdentityCredential::new(identity)))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, client_id=None, token_file_path=None, authority=None))]
    fn workload_identity(
        py: Python<'_>,
        tenant_id: Option<&str>,
        client_id: Option<&str>,
        token_file_path: Option<&str>,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        Ok(Self::native(WorkloadIdentityCredential {
            tenant_id: optional(py, "tenant_id", tenant_id, TenantId::parse)?,
            client_id: optional(py, "client_id", client_id, ClientId::parse)?,
            token_file_path: given(token_file_path).map(ToOwned::to_owned),
            authority: arguments::authority(py, authority)?,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, subscription=None, process_timeout=None))]
    fn azure_cli(
        py: Python<'_>,
        tenant_id: Option<&str>,
        subscription: Option<&str>,
        process_timeout: Option<f64>,
    ) -> PyResult<Self> {
        let process_timeout = arguments::process_timeout(process_timeout)?;
        Ok(Self::native(AzureCliCredential {
            tenant_id: optional(py, "tenant_id", tenant_id, TenantId::parse)?,
            subscription: optional(py, "subscription", subscription, Subscription::parse)?,
            process_timeout,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, process_timeout=None))]
    fn azure_developer_cli(py: Python<'_>, tenant_id: Option<&str>, process_timeout: Option<f64>) -> PyResult<Self> {
        let process_timeout = arguments::process_timeout(process_timeout)?;
        Ok(Self::native(AzureDeveloperCliCredential {
            tenant_id: optional(py, "tenant_id", tenant_id, TenantId::parse)?,
            process_timeout,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, process_timeout=None))]
    fn azure_powershell(py: Python<'_>, tenant_id: Option<&str>, process_timeout: Option<f64>) -> PyResult<Self> {
        let process_timeout = arguments::process_timeout(process_timeout)?;
        Ok(Self::native(AzurePowerShellCredential {
            tenant_id: optional(py, "tenant_id", tenant_id, TenantId::parse)?,
            process_timeout,
        }))
    }
}
