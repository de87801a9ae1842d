//! Python's face: the only place that names pyo3.

mod bell;
mod claims;
mod credentials;
mod errors;
mod fetch;
mod pending;
mod provider;

use pyo3::prelude::*;

/// The engine of `azure_postgresql_auth`; its public faces are `core` and `identity`.
#[pymodule]
mod _core {
    use super::{Bound, PyModule, PyResult};

    #[pymodule_export]
    use super::bell::Bell;
    #[pymodule_export]
    use super::claims::{decode_jwt, is_azure_server, parse_principal_name, scope_for};
    #[pymodule_export]
    use super::fetch::Fetch;
    #[pymodule_export]
    use super::pending::PendingLogin;
    #[pymodule_export]
    use super::provider::{Login, TokenProvider, TokenStats, take_journal};

    #[pymodule_init]
    #[allow(clippy::unnecessary_wraps, reason = "pyo3 asks for a result")]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::fork::install();
        super::errors::warm_up(module.py());
        Ok(())
    }
}
