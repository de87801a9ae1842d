//! The core of `azure_postgresql_auth`: access tokens for Azure Database for PostgreSQL, and the roles that they belong to.
//!
//! # Map
//! Imports go down only.
//!
//! | layer | modules |
//! |---|---|
//! | the Python extension module, the only place that names pyo3 | `py` |
//! | a program of its own | [`proxy`] |
//! | where tokens come from: one [`credential::TokenSource`] for each credential | [`credential`] |
//! | one login, and the name of its role | [`login`] |
//! | the cached tokens; the plan of a connection | [`cache`], [`connection`] |
//! | what the others rely on | [`platform`] |
//! | errors as data | [`error`] |
//!
//! # A token on its way
//! | type | why it exists |
//! |---|---|
//! | `azure_core`'s `AccessToken` | `azure_identity` returns it |
//! | [`cache::FetchedToken`] | every credential returns it, with its issuer's dates by the wall clock |
//! | [`cache::AccessToken`] | the cache keeps it, with dates by a clock that is never set, and with its role |
//! | [`login::Login`] | a login is the token with the user, unless the caller knows the user |
//! | `py::login::Login` | Python needs its strings; made once for each token |
//!
//! # Threads, forks and exits
//! No thread of ours touches Python. The cache is a state machine without I/O: it says "use this token" or "wait for this
//! flight", and hands out a [`cache::Fetch`] if the identity service must be asked. Native fetches run on
//! [`platform::runtime`]'s thread, which exists only while there are some; Python makes the fetches of Python credential objects.
//! Either answers the [`cache::Fetch`], which wakes the waiters, threads and event loops alike, through a file descriptor that
//! they watch. Python waits, in its own system calls. The engine never waits for the GIL, and runs no Python code of others,
//! except to read a connection's parameters that are not strings. So nothing of ours crashes when the interpreter exits,
//! greenlets let other greenlets run, and [`platform::fork`] waits for short critical sections only.

pub mod cache;
pub mod connection;
pub mod credential;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod login;
pub mod platform;
pub mod proxy;
#[cfg(feature = "python")]
mod py;
