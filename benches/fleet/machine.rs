//! A machine and the processes on it.

use std::{cell::Cell, rc::Rc};

use crate::{
    clients::{Client, Folder},
    service::{DAY, DayClock, Service},
};

pub const PROCESSES: usize = 8;
pub const BETWEEN_LOGINS: f64 = 30.0;
/// A deployment reaches the machines within this many seconds, and starts the processes of one within a second.
const DEPLOYMENT: f64 = 60.0;

/// What the processes are.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Workers of a parent that has logged in before.
    pub forked: bool,
    /// Without a user name of their own: it comes from a token for Azure Resource Manager, another scope.
    pub names: bool,
}

struct Process {
    tokens: Box<dyn Client>,
    /// As long as it is needed.
    management: Option<Box<dyn Client>>,
    next_login: f64,
}

impl Process {
    fn login(&mut self, clock: &DayClock, service: &mut Service) -> bool {
        let served = self.tokens.login(clock, service);
        let Some(management) = self.management.as_mut().filter(|_| served) else { return served };
        let named = management.login(clock, service);
        if named && management.remembers_names() {
            self.management = None;
        }
        named
    }

    fn idle_until(&self) -> f64 {
        let management = self.management.as_ref().map_or(f64::INFINITY, |management| management.idle_until());
        self.tokens.idle_until().min(management)
    }
}

pub struct Machine {
    drawn: Cell<u64>,
    folder: Folder,
    clock: DayClock,
}

impl Machine {
    pub fn new(seed: u64) -> Self {
        Self { drawn: Cell::new(seed), folder: Folder::default(), clock: DayClock::default() }
    }

    /// A number from 0 to 1 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
    fn draw(&self) -> f64 {
        let state = self.drawn.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.drawn.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A process's place in the jitter.
    pub fn spread(&self) -> f64 {
        self.draw()
    }

    pub fn folder(&self) -> Folder {
        Rc::clone(&self.folder)
    }

    /// Plays the day, with all processes replaced at each deployment; how many logins failed.
    pub fn day(
        &self,
        plan: Plan,
        new: fn(&Self) -> Box<dyn Client>,
        deployments: &[u64],
        service: &mut Service,
    ) -> u64 {
        let starts: Vec<_> = deployments.iter().map(|start| *start as f64 + DEPLOYMENT * self.draw()).collect();
        let ends = starts.iter().skip(1).copied().chain([DAY as f64]);
        starts.iter().zip(ends).map(|(start, end)| self.shift(*start, end, plan, new, service)).sum()
    }

    fn shift(&self, start: f64, end: f64, plan: Plan, new: fn(&Self) -> Box<dyn Client>, service: &mut Service) -> u64 {
        let process = || Process {
            tokens: new(self),
            management: plan.names.then(|| new(self)),
            next_login: start + self.draw(),
        };
        let mut failed = 0;
        let mut processes: Vec<_> = if plan.forked {
            let mut parent = process();
            self.clock.set(start);
            failed += u64::from(!parent.login(&self.clock, service));
            let fork = || Process {
                tokens: parent.tokens.forked(self.spread()),
                management: parent.management.as_ref().map(|management| management.forked(self.spread())),
                next_login: start + self.draw(),
            };
            (0..PROCESSES).map(|_| fork()).collect()
        } else {
            (0..PROCESSES).map(|_| process()).collect()
        };
        loop {
            let next = processes.iter_mut().min_by(|a, b| a.next_login.total_cmp(&b.next_login));
            let Some(process) = next.filter(|process| process.next_login < end) else { return failed };
            self.clock.set(process.next_login);
            failed += u64::from(!process.login(&self.clock, service));
            // Logins come at random, so the first one after a while is as far from its end as any from the one before.
            let idle = process.idle_until().max(process.next_login);
            process.next_login = idle - BETWEEN_LOGINS * (1.0 - self.draw()).ln();
        }
    }
}
