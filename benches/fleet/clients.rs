//! Whose rules a process follows.

use std::{cell::Cell, rc::Rc, time::Duration};

use _core::{
    cache::policy::{Decision, Lifetime, Retry, decide},
    platform::clock::Clock,
};

use crate::service::{DayClock, Service};

/// One process's tokens for one scope.
pub trait Client {
    /// A login now; whether it has a token.
    fn login(&mut self, clock: &DayClock, service: &mut Service) -> bool;

    /// The second of the day before which no login needs the service.
    fn idle_until(&self) -> f64;

    /// What a forked child has of it.
    fn forked(&self, spread: f64) -> Box<dyn Client>;

    /// Whether a name that was found once is never looked for again.
    fn remembers_names(&self) -> bool {
        false
    }
}

/// A folder that the processes of a machine share: the token that was put there last.
pub type Folder = Rc<Cell<Option<Lifetime>>>;

/// This package.
pub struct Ours {
    token: Option<Lifetime>,
    retry: Retry,
    spread: f64,
    folder: Option<Folder>,
}

impl Ours {
    pub fn new(spread: f64, folder: Option<Folder>) -> Self {
        Self { token: None, retry: Retry::default(), spread, folder }
    }

    fn fetch(&self, clock: &DayClock, service: &mut Service) -> Option<Lifetime> {
        let shared = self.folder.as_ref().and_then(|folder| folder.get());
        let another = shared.filter(|shared| self.token.is_none_or(|token| token.expires_on != shared.expires_on));
        let from_shared_cache = |token: Lifetime| Lifetime::starting(clock, token.expires_on, None);
        if let Some(token) = another
            && decide(&token, &Retry::default(), clock.now(), self.spread) == Decision::Use
        {
            return from_shared_cache(token);
        }
        let Some(life) = service.ask(clock) else {
            return another.filter(|token| token.is_usable(clock.now())).and_then(from_shared_cache);
        };
        let token = Lifetime::starting(clock, clock.wall() + life, None);
        if let Some(folder) = &self.folder {
            folder.set(token);
        }
        token
    }
}

impl Client for Ours {
    fn login(&mut self, clock: &DayClock, service: &mut Service) -> bool {
        let decide = |token| decide(token, &self.retry, clock.now(), self.spread);
        let decision = self.token.as_ref().map_or(Decision::Fetch, decide);
        if decision == Decision::Use {
            return true;
        }
        if let Some(token) = self.fetch(clock, service) {
            self.token = Some(token);
            self.retry = Retry::default();
            return true;
        }
        self.retry = self.retry.after_failure(clock, None);
        decision == Decision::UseAndRefresh
    }

    fn idle_until(&self) -> f64 {
        self.token.map_or(0.0, |token| DayClock::seconds_to(token.fresh_until(&self.retry, self.spread)))
    }

    fn forked(&self, spread: f64) -> Box<dyn Client> {
        Box::new(Self { spread, folder: self.folder.clone(), ..*self })
    }

    fn remembers_names(&self) -> bool {
        true
    }
}

/// azure-identity's credentials, each object of which caches its tokens; `azure-postgresql-auth` asks them at each login.
#[derive(Clone)]
pub struct Theirs {
    /// When it is due for renewal, and until when it is used.
    token: Option<(Duration, Duration)>,
    asked: Option<Duration>,
    /// Renews from half its life a token that lives for two hours or more.
    by_half: bool,
    /// A token with less than five minutes left is still used when there is no other.
    to_the_end: bool,
    /// From one request to the next, for as long as there is a token or in any case.
    pause: Duration,
}

/// Renewal is due, whatever the life.
const MARGIN: Duration = Duration::from_secs(300);
const LONG: Duration = Duration::from_secs(7200);

impl Theirs {
    /// By msal's client for managed identities: it takes a token with less than the margin left for expired, and keeps an
    /// answer that says "unavailable" for five seconds.
    pub fn managed_identity() -> Self {
        Self { token: None, asked: None, by_half: true, to_the_end: false, pause: Duration::from_secs(5) }
    }

    /// As of all credentials that ask Entra ID.
    pub fn client_secret() -> Self {
        Self { token: None, asked: None, by_half: false, to_the_end: true, pause: Duration::from_secs(30) }
    }

    fn dates(&self, now: Duration, life: Duration) -> (Duration, Duration) {
        let margin = now + life.saturating_sub(MARGIN);
        let due = if self.by_half && life >= LONG { now + life / 2 } else { margin };
        (due, if self.to_the_end { now + life } else { margin })
    }
}

impl Client for Theirs {
    fn login(&mut self, clock: &DayClock, service: &mut Service) -> bool {
        let now = clock.elapsed();
        let good = self.token.is_some_and(|(_, end)| now < end);
        if good && self.token.is_some_and(|(due, _)| now < due) {
            return true;
        }
        let can_wait = good || !self.to_the_end;
        if can_wait && self.asked.is_some_and(|asked| now < asked + self.pause) {
            return good;
        }
        self.asked = Some(now);
        let answer = service.ask(clock);
        if let Some(life) = answer {
            self.token = Some(self.dates(now, life));
            self.asked = None;
        }
        good || answer.is_some()
    }

    fn idle_until(&self) -> f64 {
        self.token.map_or(0.0, |(due, _)| due.as_secs_f64())
    }

    fn forked(&self, _spread: f64) -> Box<dyn Client> {
        Box::new(self.clone())
    }
}

/// azure-identity's credentials that run a command: no token is kept.
#[derive(Clone, Copy)]
pub struct EachLogin;

impl Client for EachLogin {
    fn login(&mut self, clock: &DayClock, service: &mut Service) -> bool {
        service.ask(clock).is_some()
    }

    fn idle_until(&self) -> f64 {
        0.0
    }

    fn forked(&self, _spread: f64) -> Box<dyn Client> {
        Box::new(*self)
    }
}
