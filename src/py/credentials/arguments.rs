//! How the constructors read their arguments.

use std::{fmt::Display, time::Duration};

use pyo3::prelude::*;

use crate::{
    credential::Authority,
    error::Error,
    platform::limits::PROCESS_TIMEOUT,
    py::{errors::checked, time::duration},
};

/// Read an argument, as the core reads the same setting from the environment. `parse` gets its name and its value.
pub fn required<T, E: Display>(
    py: Python<'_>,
    name: &str,
    text: &str,
    parse: impl FnOnce(&str, &str) -> Result<T, E>,
) -> PyResult<T> {
    valid(py, parse(name, text))
}

/// Read an argument that may be None or, as in azure-identity, empty.
pub fn optional<T, E: Display>(
    py: Python<'_>,
    name: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str, &str) -> Result<T, E>,
) -> PyResult<Option<T>> {
    given(text).map(|text| required(py, name, text, parse)).transpose()
}

/// The value, or a `ValueError`.
pub fn valid<T, E: Display>(py: Python<'_>, value: Result<T, E>) -> PyResult<T> {
    checked(py, value.map_err(|error| Error::InvalidArgument(error.to_string())))
}

/// The value, unless it is empty, which azure-identity treats as None.
pub fn given<T: AsRef<[u8]>>(value: Option<T>) -> Option<T> {
    value.filter(|value| !value.as_ref().is_empty())
}

pub fn authority(py: Python<'_>, text: Option<&str>) -> PyResult<Option<Authority>> {
    optional(py, "authority", text, Authority::parse)
}

pub fn process_timeout(seconds: Option<f64>) -> PyResult<Duration> {
    seconds.map_or(Ok(PROCESS_TIMEOUT), |limit| duration("process_timeout", limit))
}
