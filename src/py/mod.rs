//! The Python extension module, the only place that names pyo3.

mod cached_logins;
mod claims;
mod credentials;
mod errors;
mod fetch;
mod fetcher;
mod log;
mod login;
mod pending;
mod plan;
mod private_folder;
mod provider;
mod proxy;
mod stats;
mod tables;
mod time;
mod tokens;
mod wakeup_fd;

use std::sync::OnceLock;

use pyo3::{exceptions::PyImportError, prelude::*};

/// Refuse to serve a second interpreter of the process, because classes and caches belong to the first.
///
/// Python 3.12 and later refuse by themselves; older versions load the module again in each interpreter.
fn belong_to_one_interpreter(py: Python<'_>) -> PyResult<()> {
    static OWNER: OnceLock<usize> = OnceLock::new();
    // Each interpreter has its own `sys.modules` for as long as it lives.
    let modules = py.import("sys")?.getattr("modules")?.as_ptr() as usize;
    if *OWNER.get_or_init(|| modules) == modules {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "azure_postgresql_auth does not support subinterpreters: another interpreter of this process has loaded it. Run the \
         program in the main interpreter (for mod_wsgi: WSGIApplicationGroup %{GLOBAL})",
    ))
}

/// The engine of `azure_postgresql_auth`, whose public API is `core` and `identity`.
///
/// It does without the GIL: all classes are frozen, and what changes in them is behind locks. None of these locks is held
/// while Python is called, so that no thread waits for one whose holder waits for Python
/// (<https://pyo3.rs/main/free-threading>); see [`cached_logins::CachedLogins`] for what that means to a fork.
#[pymodule(gil_used = false)]
mod _core {
    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use super::claims::{
        decode_jwt, guest_of, is_azure_server, is_database_scope, parse_principal_name, principal_of, scope_for,
    };
    #[pymodule_export]
    use super::credentials::{ClientOptions, Credential, default_chain_links, stop_commands, value_defect};
    #[pymodule_export]
    use super::fetch::Fetch;
    #[pymodule_export]
    use super::log::take_log_records;
    #[pymodule_export]
    use super::login::Login;
    #[pymodule_export]
    use super::pending::PendingLogin;
    #[pymodule_export]
    use super::plan::{ConnectionPlan, Driver};
    #[pymodule_export]
    use super::private_folder::folder_defect;
    #[pymodule_export]
    use super::provider::TokenProvider;
    #[pymodule_export]
    use super::proxy::Proxy;
    #[pymodule_export]
    use super::stats::TokenStats;
    #[pymodule_export]
    use super::tables::{attempt_statuses, entra_errors, environment_variables, error_codes};
    #[pymodule_export]
    use super::wakeup_fd::WakeupFd;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::belong_to_one_interpreter(module.py())?;
        crate::platform::fork::install();
        module.add("LOGIN_TIMEOUT", crate::platform::limits::LOGIN_TIMEOUT.as_secs_f64())?;
        super::errors::warm_up(module.py())?;
        super::login::redacted_type(module.py()).map(drop)
    }
}
