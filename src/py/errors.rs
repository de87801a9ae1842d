//! From [`Error`] to the Python exceptions of `azure_postgresql_auth.errors`, one by one.

use pyo3::{
    PyTypeInfo,
    exceptions::{PyBaseException, PyValueError},
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
            if matches!(**cause, Error::Foreign { .. }) {
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
        Error::Foreign { cause, .. } => match cause.downcast_ref::<Py<PyBaseException>>() {
            Some(exception) => Ok(exception.bind(py).clone().into_any()),
            None => EntraConnectionValueError::type_object(py).call1((failed(),)),
        },
    }
}

/// The error that a Python credential raised.
pub fn foreign(exception: &Bound<'_, PyBaseException>, message: String) -> Error {
    Error::Foreign { message, cause: std::sync::Arc::new(exception.clone().unbind()) }
}

/// Imports the exceptions while nothing is urgent: an import that a fork interrupts never ends in the child.
pub fn warm_up(py: Python<'_>) {
    for kind in [
        EntraConnectionValueError::type_object(py),
        InsecureTransportError::type_object(py),
        ScopePermissionError::type_object(py),
        TokenDecodeError::type_object(py),
        UsernameExtractionError::type_object(py),
    ] {
        drop(kind);
    }
}
