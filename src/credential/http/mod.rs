//! Requests to identity services: the transport, and whom it trusts.

pub mod attempt_log;
pub mod cause;
pub mod transport;
mod trust;
