//! Durations and dates, which Python states in seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pyo3::{PyResult, exceptions::PyValueError};

/// Read a timeout; `name` is that of the argument.
///
/// # Errors
/// `ValueError`: it is negative, or not a number.
pub fn duration(name: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err(format!("{name}={seconds}: expected a number of seconds, 0 or more")))
}

/// A date in whole seconds since 1970.
pub fn unix_seconds(date: SystemTime) -> u64 {
    date.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
