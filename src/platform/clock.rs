//! Time as a value.

use std::time::{Duration, SystemTime};

use super::system;

/// A point in time that only serves to be compared with others of the same machine: how long it has been running, time spent
/// suspended included. Unlike the wall clock it is never set, so a token's age is what it is, whatever NTP does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(Duration);

impl Moment {
    /// The moment that lies so much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// The moment that lies so much earlier, or the machine's start.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time))
    }

    /// How long ago `earlier` is; `None` if it is yet to come.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0)
    }
}

/// Where "now" comes from.
pub trait Clock: Send + Sync {
    /// The current moment.
    fn now(&self) -> Moment;

    /// What the wall clock shows, in which identity services state their dates.
    fn wall(&self) -> SystemTime;
}

/// The machine's clocks.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        // None: then the wall clock has to do.
        let running = system::clock::since_boot();
        Moment(running.unwrap_or_else(|| self.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()))
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that a test sets.
#[cfg(test)]
#[derive(Debug)]
pub struct TestClock(std::sync::Mutex<(Moment, SystemTime)>);

#[cfg(test)]
impl Default for TestClock {
    /// A machine that was started a day ago, at a round time in 2027.
    fn default() -> Self {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Self(std::sync::Mutex::new((Moment(Duration::from_secs(86_400)), wall)))
    }
}

#[cfg(test)]
impl TestClock {
    fn both(&self) -> std::sync::MutexGuard<'_, (Moment, SystemTime)> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut both = self.both();
        both.0 = both.0.after(by);
        both.1 += by;
    }

    /// Sets the wall clock alone, as NTP does.
    pub fn set_wall(&self, wall: SystemTime) {
        self.both().1 = wall;
    }
}

#[cfg(test)]
impl Clock for TestClock {
    fn now(&self) -> Moment {
        self.both().0
    }

    fn wall(&self) -> SystemTime {
        self.both().1
    }
}
