//! `Login`: user and token as Python objects.

use pyo3::{
    exceptions::PyTypeError,
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyString, PyType},
};

use super::time::unix_seconds;
use crate::login;

/// User and access token for one new connection.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct Login {
    #[pyo3(get)]
    user: Option<Py<PyString>>,
    /// A `RedactedStr`.
    #[pyo3(get)]
    password: Py<PyAny>,
    /// Seconds since 1970.
    #[pyo3(get)]
    expires_on: u64,
}

impl Login {
    pub fn new(py: Python<'_>, login: &login::Login) -> PyResult<Self> {
        Ok(Self {
            user: login.user.as_deref().map(|user| PyString::new(py, user).unbind()),
            password: redacted(py, login.token.secret.expose())?,
            expires_on: unix_seconds(login.token.lifetime.expires_on),
        })
    }

    /// Add the user, if there is one, and the password to a driver's keywords.
    pub fn add_to(&self, keywords: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = keywords.py();
        if let Some(user) = &self.user {
            keywords.set_item(intern!(py, "user"), user)?;
        }
        keywords.set_item(intern!(py, "password"), &self.password)
    }

    /// User and password as a dictionary; `None` without a user.
    pub fn conninfo(&self, py: Python<'_>) -> PyResult<Option<Py<PyDict>>> {
        self.user.as_ref().map(|_| self.parameters(py).map(Bound::unbind)).transpose()
    }
}

#[pymethods]
impl Login {
    /// Return a dictionary of the user, if there is one, and the password.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let parameters = PyDict::new(py);
        self.add_to(&parameters)?;
        Ok(parameters)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let user = match &self.user {
            Some(user) => user.bind(py).repr()?.to_string(),
            None => "None".to_owned(),
        };
        Ok(format!("Login(user={user}, password=****, expires_on={})", self.expires_on))
    }

    #[allow(clippy::unused_self, reason = "Python calls it on an object")]
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a Login holds an access token and cannot be pickled; ask for a new one in each process",
        ))
    }
}

/// A string whose `repr` does not show it.
fn redacted(py: Python<'_>, secret: &str) -> PyResult<Py<PyAny>> {
    Ok(redacted_type(py)?.call1((secret,))?.unbind())
}

/// The class of such strings. Imported with the module, see [`super::errors::warm_up`].
pub fn redacted_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "azure_postgresql_auth._redacted", "RedactedStr")
}
