//! From [`Error`] to the Python exceptions of `azure_postgresql_auth.errors`, one by one.

use std::path::PathBuf;

use pyo3::{
    PyTypeInfo,
    exceptions::{PyBaseException, PyImportError, PyValueError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyList, PyTuple, PyType},
};

use crate::error::{Attempt, Error};

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

/// The exception for an error, to raise.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    match exception(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// The value, or the exception of its error.
pub fn checked<T>(py: Python<'_>, value: Result<T, Error>) -> PyResult<T> {
    value.map_err(|error| raise(py, &error))
}

/// The exception for an error, with its report.
///
/// Made by calling its class: pyo3's lazily made ones let go of the GIL while we are on the stack, and a daemon thread that
/// asks for it again when the interpreter ends is killed there, which takes the process down.
pub fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let text = error.to_string();
    let class = match error {
        Error::RenewalFails { cause, .. } if matches!(**cause, Error::External { .. }) => {
            // Theirs, and the same object for all who waited. Before Python 3.11, which has `add_note`, notes are what
            // they are in it, a list (PEP 678): pytest and the exceptiongroup package show it there, and so do we.
            let raised = exception(py, cause)?;
            if raised.getattr_opt("__notes__")?.is_none() {
                raised.setattr("__notes__", PyList::new(py, [text])?)?;
            }
            return Ok(raised);
        }
        Error::External { cause, .. } => {
            if let Some(exception) = cause.downcast_ref::<Py<PyBaseException>>() {
                return Ok(exception.bind(py).clone().into_any());
            }
            EntraConnectionValueError::type_object(py)
        }
        Error::Credential(_)
        | Error::NoOther
        | Error::ChainExhausted(_)
        | Error::ExpiredOnArrival
        | Error::EmptyToken
        | Error::TimedOut { .. }
        | Error::RenewalFails { .. }
        | Error::Abandoned(_) => EntraConnectionValueError::type_object(py),
        Error::InsecureTransport { .. } => InsecureTransportError::type_object(py),
        Error::MalformedToken(_) => TokenDecodeError::type_object(py),
        Error::NoPrincipalName { .. } | Error::GuestName { .. } => UsernameExtractionError::type_object(py),
        Error::ManagementScope(_) => ScopePermissionError::type_object(py),
        Error::InvalidArgument(_) | Error::AmbiguousScope => PyValueError::type_object(py),
    };
    // What programs know from Microsoft's package.
    let text = if class.is_subclass_of::<EntraConnectionValueError>()? {
        format!("Could not retrieve Entra credentials: {text}")
    } else {
        text
    };
    let raised = class.call1((text,))?;
    raised.setattr(intern!(py, "report"), report(py, error)?)?;
    if let Error::ManagementScope(cause) = error {
        raised.setattr("__cause__", exception(py, cause)?)?;
    }
    Ok(raised)
}

/// An `ErrorReport`.
fn report<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let report = error.report();
    report_class(py)?.call1((
        report.code.name(),
        &*report.cause,
        report.remedy.as_deref().unwrap_or_default(),
        report.service_code,
        report.retry_after.map(|wait| wait.as_secs_f64()),
        attempts(py, report.attempts)?,
    ))
}

/// A tuple of `Attempt`s.
pub fn attempts<'py>(py: Python<'py>, attempts: &[Attempt]) -> PyResult<Bound<'py, PyTuple>> {
    let class = attempt_class(py)?;
    let attempts: PyResult<Vec<_>> = attempts
        .iter()
        .map(|attempt| {
            class.call1((
                attempt.credential,
                attempt.status.name(),
                &*attempt.reason,
                attempt.summary(),
                attempt.remedy.as_deref().unwrap_or_default(),
                attempt.service_code(),
                attempt.retry_after.map(|wait| wait.as_secs_f64()),
                attempt.elapsed.map(|elapsed| elapsed.as_secs_f64()),
            ))
        })
        .collect();
    PyTuple::new(py, attempts?)
}

fn report_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "azure_postgresql_auth.errors", "ErrorReport")
}

fn attempt_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "azure_postgresql_auth.errors", "Attempt")
}

/// The error that a Python credential raised.
pub fn external(exception: &Bound<'_, PyBaseException>, message: String) -> Error {
    Error::External { message, cause: std::sync::Arc::new(exception.clone().unbind()) }
}

/// Import the exceptions together with the module: an import that a fork interrupts never ends in the child.
///
/// # Errors
/// Another distribution has replaced or removed files of this package, whose import name is the same as Microsoft's
/// package. `type_object` would panic.
pub fn warm_up(py: Python<'_>) -> PyResult<()> {
    const NAMES: [&str; 7] = [
        "Attempt",
        "ErrorReport",
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
    report_class(py)?;
    attempt_class(py).map(drop)
}

/// The error for an installation that lacks files of this package, with the way to repair it.
fn incomplete(py: Python<'_>, cause: PyErr) -> PyErr {
    let error = PyImportError::new_err(concat!(
        "the installation of azure-postgresql-auth-rs is incomplete: another distribution has replaced or removed files of ",
        "azure_postgresql_auth, as azure-postgresql-auth does, which has the same import name. Uninstall both (`pip ",
        "uninstall azure-postgresql-auth azure-postgresql-auth-rs`), then install azure-postgresql-auth-rs again"
    ));
    error.set_cause(py, Some(cause));
    error
}
