//! Time as a value.

use std::time::SystemTime;

/// Where "now" comes from. Token lifetimes are stated in wall-clock time, so that is what this gives.
pub trait Clock: Send + Sync {
    /// The current wall-clock time.
    fn now(&self) -> SystemTime;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that a test sets.
#[cfg(test)]
#[derive(Debug)]
pub struct TestClock(std::sync::Mutex<SystemTime>);

#[cfg(test)]
impl Default for TestClock {
    /// A clock that stands at a round time in 2027.
    fn default() -> Self {
        Self(std::sync::Mutex::new(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000)))
    }
}

#[cfg(test)]
impl TestClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: std::time::Duration) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += by;
    }
}

#[cfg(test)]
impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
