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
    import_exception!(azure_postgresql_auth.errors, ScopePermissionError);
    import_exception!(azure_postgresql_auth.errors, TokenDecodeError);
    import_exception!(azure_postgresql_auth.errors, UsernameExtractionError);
}
use python::{EntraConnectionValueError, ScopePermissionError, TokenDecodeError, UsernameExtractionError};

/// The exception for an error.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::CredentialUnavailable { .. }
        | Error::AuthenticationFailed { .. }
        | Error::ChainExhausted(_)
        | Error::ExpiredOnArrival
        | Error::EmptyToken
        | Error::TimedOut(_)
        | Error::Abandoned(_) => {
            EntraConnectionValueError::new_err(format!("Could not retrieve Entra credentials: {text}"))
        }
        Error::MalformedToken(_) => TokenDecodeError::new_err(text),
        Error::NoPrincipalName { .. } => UsernameExtractionError::new_err(text),
        Error::ManagementScope(cause) => {
            let raised = ScopePermissionError::new_err(text);
            raised.set_cause(py, Some(raise(py, cause)));
            raised
        }
        Error::InvalidArgument(_) => PyValueError::new_err(text),
        Error::Foreign { cause, .. } => match cause.downcast_ref::<Py<PyBaseException>>() {
            Some(exception) => PyErr::from_value(exception.bind(py).clone().into_any()),
            None => EntraConnectionValueError::new_err(format!("Could not retrieve Entra credentials: {text}")),
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
        ScopePermissionError::type_object(py),
        TokenDecodeError::type_object(py),
        UsernameExtractionError::type_object(py),
    ] {
        drop(kind);
    }
}
