//! The counters of a credential's tokens, as Python has them.

use pyo3::{prelude::*, types::PyDict};

use crate::cache::stats;

/// Counters of a credential's tokens.
#[pyclass(frozen, module = "azure_postgresql_auth.core")]
pub struct TokenStats {
    pub counted: stats::Snapshot,
    #[pyo3(get)]
    pub expires_on: Py<PyDict>,
}

#[pymethods]
impl TokenStats {
    #[getter]
    fn requests(&self) -> u64 {
        self.counted.requests
    }

    #[getter]
    fn hits(&self) -> u64 {
        self.counted.hits
    }

    #[getter]
    fn refreshes(&self) -> u64 {
        self.counted.refreshes
    }

    #[getter]
    fn failures(&self) -> u64 {
        self.counted.failures
    }

    #[getter]
    fn refusals(&self) -> u64 {
        self.counted.refusals
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let stats::Snapshot { requests, hits, refreshes, failures, refusals } = self.counted;
        let expires_on = self.expires_on.bind(py).repr()?;
        Ok(format!(
            "TokenStats(requests={requests}, hits={hits}, refreshes={refreshes}, failures={failures}, \
             refusals={refusals}, expires_on={expires_on})"
        ))
    }
}
