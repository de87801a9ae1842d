//! The time since the machine's start.

use std::time::Duration;

use windows::Win32::System::SystemInformation::GetTickCount64;

/// Returns the time since the machine's start, time spent in sleep or hibernation included.
///
/// Rust's `Instant` reads `QueryPerformanceCounter`, whose documentation leaves sleep open, and `QueryUnbiasedInterruptTime`
/// leaves sleep out. `GetTickCount64` counts it ("Windows Time" in Microsoft's documentation), with a resolution of 16 ms.
#[allow(
    unsafe_code,
    clippy::unnecessary_wraps,
    reason = "a system call without arguments; Unix may have no such clock"
)]
#[must_use]
pub fn since_boot() -> Option<Duration> {
    // SAFETY: it takes nothing and cannot fail.
    Some(Duration::from_millis(unsafe { GetTickCount64() }))
}
