//! The tables from which pages of the documentation are generated.

use pyo3::prelude::*;

use crate::{
    error::{CODES, Status, entra_errors::ENTRA_ERRORS},
    platform::variables::{VARIABLES, Variable},
};

/// A row of [`environment_variables`].
type VariableRow = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

/// The environment variables that the package reads: section, name, meaning, default, reader and source of each.
#[pyfunction]
pub fn environment_variables() -> Vec<VariableRow> {
    let row = |variable: &Variable| {
        let Variable { section, name, meaning, default, reader, source } = *variable;
        (section.title(), name, meaning.trim_start(), default, reader, source)
    };
    VARIABLES.iter().map(row).collect()
}

/// The codes that reports have: name, exception, meaning and remedy of each, for the documentation.
#[pyfunction]
pub fn error_codes() -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    CODES.iter().map(|code| (code.name, code.exception, code.meaning, code.remedy)).collect()
}

/// The statuses of attempts.
#[pyfunction]
pub fn attempt_statuses() -> Vec<(&'static str, &'static str)> {
    Status::ALL.iter().map(|status| (status.name(), status.meaning())).collect()
}

/// Entra ID's codes that are known here: each with its meaning and remedy, for the documentation.
#[pyfunction]
pub fn entra_errors() -> Vec<(u32, &'static str, &'static str)> {
    ENTRA_ERRORS.iter().map(|known| (known.code, known.meaning, known.remedy)).collect()
}
