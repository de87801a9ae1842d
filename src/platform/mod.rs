//! What the engine is built on: the runtime, the clock, forks, secrets, wake-ups and the log buffer; and what differs between
//! operating systems, for which `unix` and `windows` have the same names.

pub mod clock;
pub mod limits;
pub mod log_buffer;
pub mod runtime;
#[cfg(any(test, fuzzing))]
pub mod scratch;
pub mod secret;
pub mod sync;
#[cfg_attr(unix, path = "unix/mod.rs")]
#[cfg_attr(windows, path = "windows/mod.rs")]
mod system;
pub mod variables;
pub mod wakeup;

pub use system::{folders, fork, private_file, process, socket, stream};
