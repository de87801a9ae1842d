//! From [`Error`] to the Python exceptions of `azure_postgresql_auth.errors`, one by one.

use std::path::PathBuf;

use pyo3::{
    PyTypeInfo,
    exceptions::{PyBaseException, PyImportError, PyValueError},
    prelude::*,
};

use crate::error::Error;

mod python {
    #![allow(missing_docs)]
    use pyo3::import_exception;

    import_exception!(azure_postgresql_auth.errors, EntraConnectionValueError);
    import_exception!(azure_postgresql_auth.errors, InsecureTransportError);
    import_exception!(azure_postgresql_auth.errors, ScopePermissionError);
    import_exception!(azure_postgresql_auth.errors, TokenDecodeError);
    import_exception!(azure_postgresql_auth.errors, UsernameExtractionError);
}
use python::{
    EntraConnectionValueError, InsecureTransportError, ScopePermissionError, TokenDecodeError, UsernameExtractionError,
};

/// Raises an error.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    match exception(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// The exception for an error.
///
/// Made by calling its class: pyo3's lazily made ones let go of the GIL while we are on the stack, and a daemon thread that
/// asks for it again when the interpreter ends is killed there, which takes the process down.
pub fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let text = error.to_string();
    let failed = || format!("Could not retrieve Entra credentials: {text}");
    match error {
        Error::CredentialUnavailable { .. }
        | Error::AuthenticationFailed { .. }
        | Error::Throttled { .. }
        | Error::NoOther
        | Error::ChainExhausted(_)
        | Error::ExpiredOnArrival
        | Error::EmptyToken
        | Error::TimedOut { .. }
        | Error::Abandoned(_) => EntraConnectionValueError::type_object(py).call1((failed(),)),
        Error::RenewalFails { cause, .. } => {
            if matches!(**cause, Error::External { .. }) {
                // Theirs, and the same object for all who waited; it takes notes from Python 3.11 on.
                let raised = exception(py, cause)?;
                let noted = raised.getattr_opt("__notes__")?.is_some();
                if !noted && raised.hasattr("add_note")? {
                    raised.call_method1("add_note", (text,))?;
                }
                return Ok(raised);
            }
            EntraConnectionValueError::type_object(py).call1((failed(),))
        }
        Error::InsecureTransport { .. } => InsecureTransportError::type_object(py).call1((failed(),)),
        Error::MalformedToken(_) => TokenDecodeError::type_object(py).call1((text,)),
        Error::NoPrincipalName { .. } | Error::GuestName { .. } => {
            UsernameExtractionError::type_object(py).call1((text,))
        }
        Error::ManagementScope(cause) => {
            let raised = ScopePermissionError::type_object(py).call1((text,))?;
            raised.setattr("__cause__", exception(py, cause)?)?;
            Ok(raised)
        }
        Error::InvalidArgument(_) => PyValueError::type_object(py).call1((text,)),
        Error::External { cause, .. } => match cause.downcast_ref::<Py<PyBaseException>>() {
            Some(exception) => Ok(exception.bind(py).clone().into_any()),
            None => EntraConnectionValueError::type_object(py).call1((failed(),)),
        },
    }
}

/// The error that a Python credential raised.
pub fn external(exception: &Bound<'_, PyBaseException>, message: String) -> Error {
    Error::External { message, cause: std::sync::Arc::new(exception.clone().unbind()) }
}

/// Imports the exceptions while nothing is urgent: an import that a fork interrupts never ends in the child.
///
/// # Errors
/// Another distribution has replaced or removed files of ours, which share its import name with Microsoft's
/// package. `type_object` would panic.
pub fn warm_up(py: Python<'_>) -> PyResult<()> {
    const NAMES: [&str; 5] = [
        "EntraConnectionValueError",
        "InsecureTransportError",
        "ScopePermissionError",
        "TokenDecodeError",
        "UsernameExtractionError",
    ];
    let module = py.import("azure_postgresql_auth.errors").map_err(|cause| incomplete(py, cause))?;
    for name in NAMES {
        module.getattr(name).map_err(|cause| incomplete(py, cause))?;
    }
    // Python prefers Microsoft's folder `psycopg3` to our `psycopg3.py`, and it would connect without our rules for TLS.
    // A frozen program may have no files.
    let file = module.getattr("__file__").and_then(|file| file.extract::<PathBuf>()).unwrap_or_default();
    let other = file.with_file_name("psycopg3").join("entra_connection.py");
    if other.is_absolute() && other.exists() {
        let found = format!("{} belongs to azure-postgresql-auth", other.display());
        return Err(incomplete(py, PyImportError::new_err(found)));
    }
    for kind in [
        EntraConnectionValueError::type_object(py),
        InsecureTransportError::type_object(py),
        ScopePermissionError::type_object(py),
        TokenDecodeError::type_object(py),
        UsernameExtractionError::type_object(py),
    ] {
        drop(kind);
    }
    Ok(())
}

/// Says how to mend an installation that lacks files of ours.
fn incomplete(py: Python<'_>, cause: PyErr) -> PyErr {
    let error = PyImportError::new_err(concat!(
        "the installation of azure-postgresql-auth-rs is incomplete: another distribution has replaced or removed files of ",
        "azure_postgresql_auth, as azure-postgresql-auth does, which has the same import name. Reinstall it: `pip uninstall ",
        "azure-postgresql-auth azure-postgresql-auth-rs`, then `pip install azure-postgresql-auth-rs`"
    ));
    error.set_cause(py, Some(cause));
    error
}
