//! Identities of machines, containers and pods, and of developers who are signed in to a command line.

use pyo3::prelude::*;

use super::{
    Credential,
    arguments::{self, given, optional, optional_tenant},
};
use crate::{
    credential::{
        AzureCliCredential, AzureDeveloperCliCredential, AzurePowerShellCredential, ManagedIdentityCredential,
        UserAssigned, WorkloadIdentityCredential,
    },
    error::Error,
    py::errors::checked,
};

#[pymethods]
impl Credential {
    #[staticmethod]
    #[pyo3(signature = (*, client_id=None, object_id=None, resource_id=None))]
    fn managed_identity(
        py: Python<'_>,
        client_id: Option<String>,
        object_id: Option<String>,
        resource_id: Option<String>,
    ) -> PyResult<Self> {
        let named = [
            optional(py, "client_id", client_id)?.map(UserAssigned::ClientId),
            optional(py, "object_id", object_id)?.map(UserAssigned::ObjectId),
            optional(py, "resource_id", resource_id)?.map(UserAssigned::ResourceId),
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
        Ok(Self::native(WorkloadIdentityCredential {
            tenant_id: optional_tenant(py, "tenant_id", tenant_id)?,
            client_id: optional(py, "client_id", client_id)?,
            token_file_path: given(token_file_path),
            authority: arguments::authority(py, authority)?,
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
        let process_timeout = arguments::process_timeout(process_timeout)?;
        Ok(Self::native(AzureCliCredential {
            tenant_id: optional_tenant(py, "tenant_id", tenant_id)?,
            subscription: arguments::subscription(py, subscription)?,
            process_timeout,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, process_timeout=None))]
    fn azure_developer_cli(py: Python<'_>, tenant_id: Option<String>, process_timeout: Option<f64>) -> PyResult<Self> {
        let process_timeout = arguments::process_timeout(process_timeout)?;
        Ok(Self::native(AzureDeveloperCliCredential {
            tenant_id: optional_tenant(py, "tenant_id", tenant_id)?,
            process_timeout,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, process_timeout=None))]
    fn azure_powershell(py: Python<'_>, tenant_id: Option<String>, process_timeout: Option<f64>) -> PyResult<Self> {
        let process_timeout = arguments::process_timeout(process_timeout)?;
        Ok(Self::native(AzurePowerShellCredential {
            tenant_id: optional_tenant(py, "tenant_id", tenant_id)?,
            process_timeout,
        }))
    }
}
