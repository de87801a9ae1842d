//! The engine's log records, for Python's `logging`.

use std::time::UNIX_EPOCH;

use pyo3::prelude::*;

use crate::platform::log_buffer;

/// Take the records since the last call: seconds since 1970, level, text.
#[pyfunction]
pub fn take_log_records() -> Vec<(f64, u8, String)> {
    let seconds = |entry: &log_buffer::Entry| entry.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    log_buffer::take().into_iter().map(|entry| (seconds(&entry), entry.level as u8, entry.text)).collect()
}
