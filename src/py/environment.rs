//! The environment as libpq reads it.

use std::env;

use pyo3::{prelude::*, types::PyDict};

/// libpq's keywords, and the variables that stand in for them.
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

/// Parameters that stand in libpq's variables and are not empty. `os.environ` would take longer to ask than the rest of a login.
#[pyfunction]
pub fn libpq_environment(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let found = PyDict::new(py);
    for (keyword, variable) in VARIABLES {
        if let Some(value) = env::var_os(variable).filter(|value| !value.is_empty()) {
            found.set_item(keyword, value)?;
        }
    }
    Ok(found)
}
