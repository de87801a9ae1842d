//! Tokens and names, as plain Python values.

use pyo3::{
    IntoPyObjectExt,
    exceptions::PyValueError,
    prelude::*,
    types::{PyDict, PyList, PyString},
};
use serde_json::Value;

use super::errors;
use crate::{claims::Claims, cloud::Cloud, error::Error, principal};

/// Claims of a JWT, unverified.
#[pyfunction]
pub fn decode_jwt<'py>(py: Python<'py>, token: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let malformed = |reason: String| errors::raise(py, &Error::MalformedToken(reason));
    let token = token
        .cast::<PyString>()
        .map_err(|_| malformed(format!("expected str, found {}", token.get_type())))?
        .to_cow()
        .map_err(|_| malformed("it holds characters that are no text".to_owned()))?;
    let claims = Claims::of_token(&token).map_err(|error| errors::raise(py, &error))?;
    let dict = PyDict::new(py);
    for (name, value) in claims.into_map() {
        dict.set_item(name, python(py, value)?)?;
    }
    Ok(dict)
}

fn python(py: Python<'_>, value: Value) -> PyResult<Bound<'_, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(flag) => flag.into_bound_py_any(py),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), _, _) => integer.into_bound_py_any(py),
            (_, Some(integer), _) => integer.into_bound_py_any(py),
            (_, _, float) => float.into_bound_py_any(py),
        },
        Value::String(text) => text.into_bound_py_any(py),
        Value::Array(values) => {
            let values = values.into_iter().map(|value| python(py, value)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, values)?.into_bound_py_any(py)
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (name, value) in fields {
                dict.set_item(name, python(py, value)?)?;
            }
            dict.into_bound_py_any(py)
        }
    }
}

/// Name of the user-assigned managed identity in an `xms_mirid` claim.
#[pyfunction]
#[pyo3(signature = (xms_mirid))]
pub fn parse_principal_name(xms_mirid: Option<&str>) -> Option<&str> {
    xms_mirid.and_then(principal::user_assigned_identity)
}

/// The claim that names the user, and the user, of a token; `None` where no claim does.
#[pyfunction]
pub fn principal_of(py: Python<'_>, token: &str) -> PyResult<Option<(&'static str, String)>> {
    let claims = Claims::of_token(token).map_err(|error| errors::raise(py, &error))?;
    Ok(principal::principal(&claims).map(|(claim, name)| (claim, name.to_owned())))
}

/// Whether a host is named like an Azure Database for PostgreSQL, in any cloud.
#[pyfunction]
pub fn is_azure_server(host: &str) -> bool {
    Cloud::of_server(host).is_some()
}

/// Scope of the tokens that a server takes: by its name, else by `AZURE_AUTHORITY_HOST`, else the public cloud's.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "pyo3 extracts a Vec")]
pub fn scope_for(hosts: Vec<String>) -> PyResult<&'static str> {
    let mut clouds = hosts.iter().filter_map(|host| Cloud::of_server(host));
    let cloud = clouds.next();
    if clouds.any(|other| Some(other) != cloud) {
        return Err(PyValueError::new_err(
            "the hosts belong to different Azure clouds, and no token is good for two; pass scope= to choose one",
        ));
    }
    let by_authority =
        || std::env::var("AZURE_AUTHORITY_HOST").ok().and_then(|authority| Cloud::of_authority(&authority));
    Ok(cloud.or_else(by_authority).unwrap_or(Cloud::Public).database_scope())
}
