//! The core of `azure_postgresql_auth`: access tokens for Azure Database for PostgreSQL, and whose they are.
//!
//! # Map
//! Imports go down only.
//!
//! | layer | modules |
//! |---|---|
//! | Python's face, the only place that names pyo3 | `py` |
//! | a program of its own | [`proxy`] |
//! | where tokens come from: one [`credential::TokenSource`] for each credential | [`credential`] |
//! | one login, and the name of its role | [`login`] |
//! | the tokens that are kept; what a connection is like | [`cache`], [`connection`] |
//! | what the others stand on | [`platform`] |
//! | what can go wrong | [`error`] |
//!
//! # Threads, forks and exits
//! No thread of ours ever touches Python. The cache is a state machine without any I/O: it says "use this token" or
//! "wait for this flight", and hands out a [`cache::Fetch`] where somebody has to ask the identity service. Native
//! fetches run on [`platform::runtime`]'s thread, which exists only while there are some; fetches of Python credential objects
//! are run by Python. Either answers the [`cache::Fetch`], which wakes the waiters, threads and event loops alike,
//! through a file descriptor that they watch. It is Python's own system calls that wait: nothing of ours ever waits for the
//! GIL, or runs other people's Python code while it is on the stack (but to ask for the truth and the text of what is no
//! string among a connection's parameters). So there is nothing of ours to crash when the
//! interpreter exits, greenlets wait as greenlets do, and [`platform::fork`] has only short critical sections to wait for.

pub mod cache;
pub mod connection;
pub mod credential;
pub mod error;
pub mod login;
pub mod platform;
pub mod proxy;
#[cfg(feature = "python")]
mod py;
