//! One login: the token, and the PostgreSQL role that it belongs to.

pub mod claims;
mod flow;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(all(test, shuttle))]
mod interleavings;
pub mod principal;
#[cfg(test)]
mod simulation;

pub use flow::{Fetches, Login, LoginRequest, Logins};
