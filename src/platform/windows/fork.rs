//! Windows has no fork: sections need no guard, and every process is of the first generation.

/// How many forks lie between the first process that loaded us and this one.
#[must_use]
pub fn generation() -> u32 {
    0
}

/// While this lives, no fork happens.
#[derive(Debug)]
#[must_use]
pub struct Guard(());

/// Enters a section that holds locks.
pub fn guarded() -> Guard {
    Guard(())
}

/// Registers nothing.
pub fn install() {}
