//! The identity service: counts who asks, and is out of order at times.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use _core::platform::clock::{Clock, Moment};

/// Seconds that are simulated.
pub const DAY: u64 = 86_400;

/// Seconds of the day in which nothing is answered.
pub type Outage = Range<u64>;

/// The machine's clock, which the simulation sets: milliseconds of the day.
#[derive(Debug, Default)]
pub struct DayClock(AtomicU64);

impl DayClock {
    pub fn set(&self, seconds: f64) {
        self.0.store((seconds * 1000.0) as u64, Ordering::Relaxed);
    }

    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn start() -> Moment {
        Moment::default().after(Duration::from_secs(DAY))
    }

    /// The second of the day that a moment lies in, for those who wait for it.
    pub fn seconds_to(moment: Moment) -> f64 {
        moment.since(Self::start()).unwrap_or_default().as_secs_f64()
    }
}

impl Clock for DayClock {
    fn now(&self) -> Moment {
        Self::start().after(self.elapsed())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.elapsed()
    }
}

pub struct Service {
    life: Duration,
    outage: Option<Outage>,
    per_second: Vec<u32>,
    /// The machine that is played: its last second with requests, and how many there were.
    on_machine: (u64, u32),
    peak_on_a_machine: u32,
}

impl Service {
    pub fn new(life: u64, outage: Option<Outage>) -> Self {
        let per_second = vec![0; DAY as usize];
        Self { life: Duration::from_secs(life), outage, per_second, on_machine: (0, 0), peak_on_a_machine: 0 }
    }

    /// Machines are played one after the other, each the whole day.
    pub fn next_machine(&mut self) {
        self.on_machine = (0, 0);
    }

    /// A request for a token: how long it will live, or nothing.
    pub fn ask(&mut self, clock: &DayClock) -> Option<Duration> {
        let second = clock.elapsed().as_secs();
        self.per_second[second as usize] += 1;
        let before = if self.on_machine.0 == second { self.on_machine.1 } else { 0 };
        self.on_machine = (second, before + 1);
        self.peak_on_a_machine = self.peak_on_a_machine.max(before + 1);
        (!self.outage.as_ref().is_some_and(|outage| outage.contains(&second))).then_some(self.life)
    }

    pub fn total(&self) -> u64 {
        self.per_second.iter().map(|count| u64::from(*count)).sum()
    }

    pub fn per_minute(&self) -> Vec<u32> {
        self.per_second.chunks(60).map(|minute| minute.iter().sum()).collect()
    }

    /// The most requests in one of these seconds.
    pub fn peak(&self, wanted: impl Fn(u64) -> bool) -> u32 {
        (0..).zip(&self.per_second).filter(|(second, _)| wanted(*second)).map(|(_, count)| *count).max().unwrap_or(0)
    }

    pub fn peak_on_a_machine(&self) -> u32 {
        self.peak_on_a_machine
    }
}
