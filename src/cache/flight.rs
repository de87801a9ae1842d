//! One fetch, and the callers that wait for it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, Weak},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use futures_channel::oneshot;
use futures_util::{FutureExt, future::Shared};

use super::{AccessToken, FetchedToken, TokenCache};
use crate::{
    error::Error,
    platform::{clock::Moment, fork, secret::Secret, sync::Mutex},
};

/// Another fetch joins a flight whose last one takes longer: a credential of Python's may hang. Native fetches end long
/// before, but a person at a browser takes minutes; azure-identity gives them 300 seconds (`InteractiveBrowserCredential`).
pub const OVERDUE_AFTER: Duration = Duration::from_secs(300);

/// What every waiter gets.
pub type FetchResult = Result<Arc<AccessToken>, Error>;

/// The outcome of a fetch's requests so far, for callers that cannot wait for its end. Worded as errors are.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<Option<String>>>);

impl Progress {
    /// Replaces the previous report.
    pub fn report(&self, text: String) {
        let _guard = fork::guarded();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// The last report.
    #[must_use]
    pub fn last(&self) -> Option<String> {
        let _guard = fork::guarded();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A fetch that is under way, as its waiters see it; more than one, if the first takes very long. The first token, or the
/// failure of the last fetch, is for all of them. Resolves to `None` when all were abandoned: then look again, one of the
/// waiters takes over.
#[derive(Clone)]
pub struct Flight {
    generation: u32,
    /// When the first fetch began, or will after its pause.
    pub(super) since: Moment,
    last_fetch: Moment,
    /// For how long the last fetch waits before it asks.
    pause: Duration,
    pub(super) progress: Progress,
    result: Shared<oneshot::Receiver<FetchResult>>,
    waiters: Weak<Waiters>,
}

/// Where the first answer goes. Fetches own it, so that the waiters learn when none is left.
type Waiters = Mutex<Option<oneshot::Sender<FetchResult>>>;

impl Flight {
    /// Whether this process began it; a parent's never ends in its child.
    pub(super) fn is_of_this_process(&self) -> bool {
        self.generation == fork::generation()
    }

    /// Whether another fetch has joined it since this one began.
    pub(super) fn has_later_than(&self, fetch: &Fetch) -> bool {
        self.last_fetch > fetch.flight.last_fetch
    }

    /// Whether it has taken so long that another fetch should begin.
    pub(super) fn is_overdue(&self, now: Moment) -> bool {
        now.since(self.last_fetch).is_none_or(|elapsed| elapsed >= self.pause.saturating_add(OVERDUE_AFTER))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.result.ptr_eq(&other.result)
    }
}

impl Future for Flight {
    type Output = Option<FetchResult>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let _guard = fork::guarded();
        self.result.poll_unpin(context).map(Result::ok)
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// Tokens that a fetch must not take from where others have left them.
#[derive(Debug, Clone, Default)]
pub struct Unwanted {
    /// The current one, which it is to replace.
    pub known: Option<Secret>,
    /// When the server last refused one: others that are as old may be refused, too.
    pub refused_on: Option<SystemTime>,
}

impl Unwanted {
    /// Whether a token is one of them that was obtained at this time, known to the second.
    #[must_use]
    pub fn includes(&self, secret: &Secret, obtained_on: SystemTime) -> bool {
        const SECOND: Duration = Duration::from_secs(1);
        self.known.as_ref() == Some(secret) || self.refused_on.is_some_and(|refused| obtained_on + SECOND <= refused)
    }
}

/// The right and the duty to ask the identity service once. Dropped without an answer, it hands the duty to a waiter.
pub struct Fetch {
    scope: Arc<str>,
    cache: Arc<TokenCache>,
    flight: Flight,
    /// `None` once it has ended.
    waiters: Option<Arc<Waiters>>,
    unwanted: Unwanted,
}

impl Fetch {
    /// Begins a flight, after a pause.
    pub(super) fn new(
        cache: Arc<TokenCache>,
        scope: Arc<str>,
        unwanted: Unwanted,
        now: Moment,
        pause: Duration,
    ) -> Self {
        let (sender, result) = oneshot::channel();
        let waiters = Arc::new(Mutex::new(Some(sender)));
        let flight = Flight {
            generation: fork::generation(),
            since: now.after(pause),
            last_fetch: now,
            pause,
            progress: Progress::default(),
            result: result.shared(),
            waiters: Arc::downgrade(&waiters),
        };
        Self { scope, cache, flight, waiters: Some(waiters), unwanted }
    }

    /// How long to wait before the first request, because the service throttles.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.flight.pause
    }

    /// Joins a flight that is overdue; `None` if all its fetches have just ended.
    pub(super) fn joining(
        flight: &mut Flight,
        cache: Arc<TokenCache>,
        scope: Arc<str>,
        unwanted: Unwanted,
        now: Moment,
    ) -> Option<Self> {
        let waiters = flight.waiters.upgrade()?;
        (flight.last_fetch, flight.pause) = (now, Duration::ZERO);
        Some(Self { scope, cache, flight: flight.clone(), waiters: Some(waiters), unwanted })
    }

    pub(super) fn flight(&self) -> &Flight {
        &self.flight
    }

    /// When it began.
    pub(super) fn begun(&self) -> Moment {
        self.flight.last_fetch
    }

    /// The scope to ask for.
    #[must_use]
    pub fn scope(&self) -> &Arc<str> {
        &self.scope
    }

    /// What it must not bring.
    #[must_use]
    pub fn unwanted(&self) -> &Unwanted {
        &self.unwanted
    }

    /// Where to report the outcome of its requests.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.flight.progress
    }

    /// End the fetch: keep the token, wake the waiters. `source` names the credential that answers.
    pub fn answer(mut self, source: &str, answer: Result<FetchedToken, Error>) {
        let _guard = fork::guarded();
        let Some(result) = self.cache.complete(&self, source, answer) else { return };
        let waiters = self.waiters.take();
        let sender = waiters.and_then(|waiters| waiters.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(sender) = sender {
            let _ = sender.send(result); // Err: no waiter is left
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        let Some(waiters) = self.waiters.take() else { return };
        let _guard = fork::guarded();
        // Only the last fetch of a flight: as long as there is another one, it may succeed.
        if let Some(waiters) = Arc::into_inner(waiters) {
            self.cache.abandon(&self.scope, &self.flight);
            drop(waiters);
        }
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("scope", &self.scope).finish_non_exhaustive()
    }
}
