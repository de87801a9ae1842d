//! One fetch, and those who wait for it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_channel::oneshot;
use futures_util::{FutureExt, future::Shared};

use super::{AccessToken, FetchedToken, TokenCache};
use crate::{clock::Moment, error::Error, fork, secret::Secret};

/// A flight that has not landed by then is not waited for any more by those who come; native fetches end before.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// What everybody who waited gets.
pub type Landing = Result<Arc<AccessToken>, Error>;

/// What came of a fetch's requests so far, for those who cannot wait for its end. Texts are as those of errors.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<Option<String>>>);

impl Progress {
    /// Takes the place of what was told before.
    pub fn tell(&self, text: String) {
        let _guard = fork::guarded();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// What was told last.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let _guard = fork::guarded();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A fetch that is under way, for those who wait. Resolves to `None` when it was abandoned: then look again, one of the
/// waiters takes over.
#[derive(Clone)]
pub struct Flight {
    generation: u32,
    pub(super) since: Moment,
    pub(super) progress: Progress,
    landing: Shared<oneshot::Receiver<Landing>>,
}

impl Flight {
    /// Whether it can still land. A credential of Python's may hang, or its event loop may have ended.
    pub(super) fn can_land(&self, now: Moment) -> bool {
        self.generation == fork::generation() && now.since(self.since).is_some_and(|aloft| aloft < LOST_AFTER)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.landing.ptr_eq(&other.landing)
    }
}

impl Future for Flight {
    type Output = Option<Landing>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let _guard = fork::guarded();
        self.landing.poll_unpin(context).map(Result::ok)
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// The right and the duty to ask the identity service once. Dropped without an answer, it hands the duty to a waiter.
pub struct Fetch {
    scope: Arc<str>,
    cache: Arc<TokenCache>,
    flight: Flight,
    waiters: Option<oneshot::Sender<Landing>>,
    known: Option<Arc<AccessToken>>,
}

impl Fetch {
    /// Begins a flight.
    pub(super) fn new(cache: Arc<TokenCache>, scope: Arc<str>, known: Option<Arc<AccessToken>>, now: Moment) -> Self {
        let (waiters, landing) = oneshot::channel();
        let generation = fork::generation();
        let flight = Flight { generation, since: now, progress: Progress::default(), landing: landing.shared() };
        Self { scope, cache, flight, waiters: Some(waiters), known }
    }

    pub(super) fn flight(&self) -> &Flight {
        &self.flight
    }

    /// The scope to ask for.
    #[must_use]
    pub fn scope(&self) -> &Arc<str> {
        &self.scope
    }

    /// The token that there is and that another one is wanted for.
    #[must_use]
    pub fn known(&self) -> Option<&Secret> {
        self.known.as_ref().map(|token| &token.secret)
    }

    /// Where to tell what comes of its requests.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.flight.progress
    }

    /// Ends the flight: keeps the token, wakes the waiters. `source` names the credential that answers.
    pub fn answer(self, source: &str, answer: Result<FetchedToken, Error>) {
        self.end(source, false, answer);
    }

    /// The same with a token that another process has fetched.
    pub fn answer_second_hand(self, source: &str, token: FetchedToken) {
        self.end(source, true, Ok(token));
    }

    fn end(mut self, source: &str, second_hand: bool, answer: Result<FetchedToken, Error>) {
        let _guard = fork::guarded();
        if let Some(waiters) = self.waiters.take() {
            let landing = self.cache.land(&self, source, second_hand, answer);
            let _ = waiters.send(landing); // Err: nobody waited
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if let Some(waiters) = self.waiters.take() {
            let _guard = fork::guarded();
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
