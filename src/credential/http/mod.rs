//! Requests to identity services: the transport, and whom it trusts.

pub mod answer;
pub mod attempt_log;
pub mod cause;
pub mod headers;
mod proxies;
pub mod redaction;
#[cfg(any(test, fuzzing))]
pub mod script;
pub mod transport;
mod trust;
