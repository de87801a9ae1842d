//! Requests to identity services: the transport, and whom it trusts.

pub mod transport;
mod trust;
