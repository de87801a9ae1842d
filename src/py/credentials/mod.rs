//! `Credential`: where tokens come from. `azure_postgresql_auth.identity` documents the constructors for users.

mod applications;
mod arguments;
mod chains;
mod machines;
mod options;

use std::sync::Arc;

pub use chains::default_chain_links;
pub use options::ClientOptions;
use pyo3::prelude::*;

use super::fetcher::Source;
use crate::{
    credential::{FallbackChain, TenantId, TokenSource, configured, in_tenant, with_claims},
    platform::process,
};

/// Where tokens come from. It has no cache: that is the `TokenProvider`'s.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct Credential(pub Source);

impl Credential {
    fn native(source: impl TokenSource + 'static) -> Self {
        Self(Source::Native(Arc::new(source)))
    }

    /// A native chain, with azure-identity behind it.
    fn with_fallback(chain: FallbackChain) -> Self {
        Self(Source::WithFallback(Arc::new(chain)))
    }
}

#[pymethods]
impl Credential {
    /// A credential object of this class, which Python calls.
    #[staticmethod]
    #[pyo3(signature = (class, /))]
    fn external(class: &str) -> Self {
        Self(Source::External(class.into()))
    }

    /// Return the same credential with options.
    fn configured(&self, options: &ClientOptions) -> Self {
        Self(self.0.map(|source| configured(source, Arc::clone(&options.0))))
    }

    /// Return the same credential for tokens of one tenant, or for tokens that satisfy claims.
    #[pyo3(signature = (*, tenant_id=None, claims=None))]
    fn narrowed(&self, py: Python<'_>, tenant_id: Option<&str>, claims: Option<&str>) -> PyResult<Self> {
        let tenant_id = arguments::optional(py, "tenant_id", tenant_id, TenantId::parse)?;
        Ok(Self(self.0.map(|source| narrowed(source, tenant_id.as_ref(), claims))))
    }
}

/// A credential for one tenant and claims.
fn narrowed(source: Arc<dyn TokenSource>, tenant_id: Option<&TenantId>, claims: Option<&str>) -> Arc<dyn TokenSource> {
    let source = match tenant_id {
        Some(tenant_id) => in_tenant(source, tenant_id, false),
        None => source,
    };
    match claims {
        Some(claims) => with_claims(source, claims),
        None => source,
    }
}

/// What is odd about a value that is written without white space and quotation marks, to follow its name.
#[pyfunction]
pub fn value_defect(value: &str) -> Option<String> {
    crate::credential::value_defect(value).map(|(what, remedy)| format!("{what}; {remedy}"))
}

/// End the command lines that are running for a token, because the process ends.
#[pyfunction]
pub fn stop_commands() {
    process::stop_all();
}
