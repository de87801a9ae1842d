//! Credentials that ask several others in order.

use std::sync::Arc;

use pyo3::{exceptions::PyValueError, prelude::*};

use super::{
    Credential,
    arguments::{self, optional},
};
use crate::{
    credential::{ChainedTokenCredential, ClientId, DefaultChain, FallbackChain, LINKS, Origin, Selection, TenantId},
    platform::variables::AZURE_TOKEN_CREDENTIALS,
    py::errors::checked,
};

/// The links of the default chain: the name of each and, for one that only azure-identity has, its description.
#[pyfunction]
pub fn default_chain_links() -> Vec<(&'static str, Option<&'static str>)> {
    let description = |origin| match origin {
        Origin::Native(_) => None,
        Origin::AzureIdentity(description) => Some(description),
    };
    LINKS.iter().map(|link| (link.name, description(link.origin))).collect()
}

#[pymethods]
impl Credential {
    #[staticmethod]
    #[pyo3(signature = (
        *, excluded, managed_identity_client_id=None, system_assigned=false, workload_identity_client_id=None,
        workload_identity_tenant_id=None, authority=None, process_timeout=None
    ))]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 extracts a Vec")]
    #[allow(clippy::too_many_arguments, reason = "azure-identity's keywords")]
    fn default_chain(
        py: Python<'_>,
        excluded: Vec<(String, bool)>,
        managed_identity_client_id: Option<&str>,
        system_assigned: bool,
        workload_identity_client_id: Option<&str>,
        workload_identity_tenant_id: Option<&str>,
        authority: Option<&str>,
        process_timeout: Option<f64>,
    ) -> PyResult<(Self, Vec<&'static str>)> {
        let variable = std::env::var_os(AZURE_TOKEN_CREDENTIALS);
        let variable = variable.as_ref().map(|value| value.to_string_lossy());
        let selection = checked(py, Selection::new(variable.as_deref(), &excluded))?;
        let named = optional(py, "managed_identity_client_id", managed_identity_client_id, ClientId::parse)?;
        let chain = DefaultChain {
            managed_identity_client_id: if system_assigned { Some(None) } else { named.map(Some) },
            workload_identity_client_id: optional(
                py,
                "workload_identity_client_id",
                workload_identity_client_id,
                ClientId::parse,
            )?,
            workload_identity_tenant_id: optional(
                py,
                "workload_identity_tenant_id",
                workload_identity_tenant_id,
                TenantId::parse,
            )?,
            authority: arguments::authority(py, authority)?,
            process_timeout: Some(arguments::process_timeout(process_timeout)?),
        };
        let python_only = selection.python_only();
        let native = chain.build(&selection);
        let credential =
            if python_only.is_empty() { Self::native(native) } else { Self::with_fallback(FallbackChain::new(native)) };
        Ok((credential, python_only))
    }

    #[staticmethod]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 extracts a Vec")]
    fn chain(links: Vec<PyRef<'_, Self>>) -> PyResult<Self> {
        let sources: Option<Vec<Arc<_>>> = links.iter().map(|link| link.0.native()).collect();
        let sources = sources.ok_or_else(|| PyValueError::new_err("a native chain holds native credentials only"))?;
        Ok(Self::native(ChainedTokenCredential::new(sources)))
    }
}
