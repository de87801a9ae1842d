//! Options of a credential's HTTP client.

use std::sync::Arc;

use pyo3::prelude::*;

use super::arguments::valid;
use crate::{
    credential::{self, AllowedTenants, Proxy},
    py::{errors::checked, time::duration},
};

/// Options of a credential's HTTP client, and the tenants that tokens may be requested for.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
#[derive(Default)]
pub struct ClientOptions(pub Arc<credential::ClientOptions>);

#[pymethods]
impl ClientOptions {
    #[new]
    #[pyo3(signature = (
        *, proxy=None, no_proxy=false, ca_bundle=None, connect_timeout=None, read_timeout=None, additional_tenants=Vec::new()
    ))]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 extracts a Vec")]
    fn new(
        py: Python<'_>,
        proxy: Option<&str>,
        no_proxy: bool,
        ca_bundle: Option<String>,
        connect_timeout: Option<f64>,
        read_timeout: Option<f64>,
        additional_tenants: Vec<String>,
    ) -> PyResult<Self> {
        let tenants = AllowedTenants::parse("additionally_allowed_tenants", &additional_tenants);
        Ok(Self(Arc::new(credential::ClientOptions {
            proxy: if no_proxy { Some(Proxy::Direct) } else { checked(py, proxy.map(Proxy::parse).transpose())? },
            ca_bundle,
            connect_timeout: connect_timeout.map(|limit| duration("connection_timeout", limit)).transpose()?,
            read_timeout: read_timeout.map(|limit| duration("read_timeout", limit)).transpose()?,
            additional_tenants: valid(py, tenants)?,
        })))
    }
}
