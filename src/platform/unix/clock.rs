//! The time since the machine's start.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The clock that goes on while the machine is suspended: Linux' `CLOCK_MONOTONIC`, which Rust's `Instant` reads, stands still.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SINCE_BOOT: ClockId = ClockId::CLOCK_BOOTTIME;
/// `mach_continuous_time`, which goes on during sleep and is never adjusted (clock_gettime(3)). Rust's `Instant` reads
/// `CLOCK_UPTIME_RAW`, which stands still.
#[cfg(target_vendor = "apple")]
const SINCE_BOOT: ClockId = ClockId::from_raw(libc::CLOCK_MONOTONIC_RAW); // nix names it on Linux only
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
const SINCE_BOOT: ClockId = ClockId::CLOCK_MONOTONIC;

/// Returns the time since the machine's start, time spent suspended included; `None` in a sandbox without this clock.
#[must_use]
pub fn since_boot() -> Option<Duration> {
    clock_gettime(SINCE_BOOT).ok().map(Duration::from)
}
