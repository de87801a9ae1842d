//! What the engine stands on: the runtime, the clock, forks, secrets and the log buffer.

pub mod clock;
pub mod fork;
pub mod log_buffer;
pub mod runtime;
pub mod secret;
