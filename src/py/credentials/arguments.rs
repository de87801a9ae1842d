//! Checks of the constructors' arguments.

use std::time::Duration;

use pyo3::prelude::*;

use crate::{
    credential::{Authority, PROCESS_TIMEOUT, check_value},
    error::Error,
    py::{errors::checked, time::duration},
};

/// What is given: azure-identity takes an empty text for none.
pub fn given<T: AsRef<[u8]>>(value: Option<T>) -> Option<T> {
    value.filter(|value| !value.as_ref().is_empty())
}

/// The same, and nothing odd about it.
pub fn optional(py: Python<'_>, name: &str, text: Option<String>) -> PyResult<Option<String>> {
    let text = given(text);
    if let Some(text) = &text {
        checked(py, check_value(name, text).map_err(|defect| Error::InvalidArgument(defect.to_string())))?;
    }
    Ok(text)
}

pub fn authority(py: Python<'_>, text: Option<&str>) -> PyResult<Option<Authority>> {
    checked(py, given(text).map(Authority::parse).transpose())
}

pub fn process_timeout(seconds: Option<f64>) -> PyResult<Duration> {
    seconds.map_or(Ok(PROCESS_TIMEOUT), duration)
}

/// Tenant ids end up in a URL, and on `az`'s command line.
pub fn tenant(py: Python<'_>, name: &str, text: String) -> PyResult<String> {
    let text = optional(py, name, Some(text))?.unwrap_or_default();
    if !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-')) {
        return Ok(text);
    }
    checked(
        py,
        Err(Error::InvalidArgument(format!(
            "{name}={text:?}: expected a directory (tenant) id such as 11111111-2222-3333-4444-555555555555, or a domain"
        ))),
    )
}

pub fn optional_tenant(py: Python<'_>, name: &str, text: Option<String>) -> PyResult<Option<String>> {
    given(text).map(|text| tenant(py, name, text)).transpose()
}

/// Azure's names of subscriptions; `az` would take others for options or more.
pub fn subscription(py: Python<'_>, text: Option<String>) -> PyResult<Option<String>> {
    let valid =
        |text: &str| text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | ' '));
    match text {
        Some(text) if !valid(&text) => checked(
            py,
            Err(Error::InvalidArgument(format!(
                "subscription={text:?}: expected letters, digits, '_', '-', '.' and spaces; if its name has others, give its id"
            ))),
        ),
        other => Ok(other.filter(|text| !text.is_empty())),
    }
}

pub fn required(py: Python<'_>, name: &str, text: String) -> PyResult<String> {
    match optional(py, name, Some(text))? {
        Some(text) => Ok(text),
        None => checked(py, Err(Error::InvalidArgument(format!("{name} is required and must not be empty")))),
    }
}
