//! What the caller said.

use std::env;

use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyString, PyTuple},
};

use super::{claims::scope_of, errors};
use crate::tls::Route;

/// Libpq's keywords, and the variables that stand in for them.
const VARIABLES: [(&str, &str); 9] = [
    ("user", "PGUSER"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("service", "PGSERVICE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
];

/// Libpq's parameters with those that its environment variables give; of several dictionaries, the later ones win.
#[pyfunction]
#[pyo3(signature = (*parameters))]
pub fn with_environment<'py>(parameters: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyDict>> {
    let py = parameters.py();
    let found = PyDict::new(py);
    for level in parameters.iter_borrowed() {
        for (keyword, value) in level.cast::<PyDict>()?.iter() {
            // Drivers pass what is empty on as not given.
            if value.is_truthy()? || value.eq(0)? {
                found.set_item(keyword, value)?;
            }
        }
    }
    for (keyword, variable) in VARIABLES {
        // Not from os.environ, which would take longer to ask than the rest of a login; libpq does not either.
        if let Some(value) = env::var_os(variable).filter(|value| !value.is_empty())
            && !found.contains(keyword)?
        {
            found.set_item(keyword, value)?;
        }
    }
    Ok(found)
}

/// The part of a connection's parameters that decides how to log in.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct Said {
    #[pyo3(get)]
    user: Option<Py<PyString>>,
    #[pyo3(get)]
    password: Option<Py<PyAny>>,
    #[pyo3(get)]
    sslrootcert: Option<Py<PyString>>,
    #[pyo3(get)]
    timeout: Option<f64>,
    route: Route,
}

#[pymethods]
impl Said {
    #[new]
    #[pyo3(signature = (said, addresses=None, /))]
    fn new<'py>(said: &Bound<'py, PyDict>, addresses: Option<&Bound<'py, PyAny>>) -> PyResult<Self> {
        let py = said.py();
        let text = |keyword: &Bound<'py, PyString>| said.get_item(keyword)?.map(|value| value.str()).transpose();
        let user = text(intern!(py, "user"))?;
        let password = said.get_item(intern!(py, "password"))?;
        let sslmode = text(intern!(py, "sslmode"))?;
        let sslrootcert = text(intern!(py, "sslrootcert"))?;
        let hosts = said.get_item(intern!(py, "host"))?;
        let route = Route {
            hosts: hosts.as_ref().map_or_else(|| Ok(Vec::new()), listed)?,
            addresses: addresses.map_or_else(|| Ok(Vec::new()), listed)?,
            sslmode: sslmode.map(|mode| mode.to_string_lossy().into_owned()),
            has_roots: sslrootcert.is_some(),
            complete: user.is_some() && password.is_some(),
        };
        let timeout = match said.get_item(intern!(py, "connect_timeout"))? {
            Some(limit) if limit.is_truthy()? => Some(limit),
            _ => said.get_item(intern!(py, "timeout"))?,
        };
        Ok(Self {
            user: user.map(Bound::unbind),
            password: password.map(Bound::unbind),
            sslrootcert: sslrootcert.map(Bound::unbind),
            timeout: timeout.as_ref().and_then(seconds),
            route,
        })
    }

    #[getter]
    fn complete(&self) -> bool {
        self.route.complete
    }

    #[getter]
    fn hosts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.route.hosts)
    }

    #[getter]
    fn addresses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.route.addresses)
    }

    #[getter]
    fn sslmode(&self) -> Option<&str> {
        self.route.sslmode.as_deref()
    }

    #[getter]
    fn scope(&self) -> PyResult<&'static str> {
        scope_of(self.route.hosts.iter().map(|host| &**host))
    }

    /// `sslmode`, and whether against Azure's roots.
    #[pyo3(signature = (allow_insecure_transport, /))]
    fn protection(&self, py: Python<'_>, allow_insecure_transport: bool) -> PyResult<Option<(String, bool)>> {
        match self.route.protection(allow_insecure_transport) {
            Ok(needed) => Ok(needed.map(|needed| (needed.sslmode.into_owned(), needed.azure_roots))),
            Err(error) => Err(errors::raise(py, &error)),
        }
    }
}

/// Texts that commas separate, or of a sequence.
fn listed(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_string_lossy().split(',').map(ToOwned::to_owned).collect());
    }
    value.try_iter()?.map(|item| Ok(item?.str()?.to_string_lossy().into_owned())).collect()
}

/// Libpq takes 0 and less for no limit; what is no number, the driver refuses itself.
fn seconds(value: &Bound<'_, PyAny>) -> Option<f64> {
    let number = match value.cast::<PyString>() {
        Ok(text) => text.to_string_lossy().trim().parse().ok(),
        Err(_) => value.extract().ok(),
    };
    number.filter(|seconds: &f64| *seconds > 0.0)
}
