//! The core of `azure_postgresql_auth`: access tokens for Azure Database for PostgreSQL, and whose they are.
//!
//! # Map
//! Imports go down only.
//!
//! | layer | modules |
//! |---|---|
//! | Python's face, the only place that names pyo3 | `py` |
//! | one login, as one function | [`login`] |
//! | what a login is made of | [`cache`], [`credential`], [`claims`], [`principal`] |
//! | ground floor | [`runtime`], [`cloud`], [`clock`], [`secret`], [`error`], [`fork`] |
//!
//! # Threads, forks and exits
//! No thread of ours ever touches Python. The cache is a state machine without any I/O: it says "use this token" or
//! "wait for this flight", and hands out a [`cache::Fetch`] where somebody has to ask the identity service. Native
//! fetches run on [`runtime`]'s thread, which exists only while there are some; fetches of Python credential objects
//! are run by Python. Either answers the [`cache::Fetch`], which wakes the waiters: threads by unparking them,
//! event loops through a file descriptor that they watch. So nothing waits for the GIL outside Python's own calls, there
//! is nothing to crash when the interpreter exits, and [`fork`] has only short critical sections to wait for.

pub mod cache;
pub mod claims;
pub mod clock;
pub mod cloud;
pub mod credential;
pub mod error;
pub mod fork;
pub mod login;
pub mod principal;
#[cfg(feature = "python")]
mod py;
pub mod runtime;
pub mod secret;
