//! What the cache knows about one scope.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{AccessToken, Flight, flight::Unwanted, policy::Retry};
use crate::{
    error::{Error, LastFailure},
    platform::clock::Moment,
};

/// The state of one scope.
pub(super) struct Slot {
    pub(super) scope: Arc<str>,
    pub(super) token: Option<Arc<AccessToken>>,
    pub(super) flight: Option<Flight>,
    /// Failed attempts to renew the token.
    pub(super) retry: Retry,
    /// The last failure. Never a Python exception: dropping one can run arbitrary Python code.
    pub(super) failure: Option<LastFailure>,
    /// The service throttles requests: since when, for how long, and its error. Never a Python exception.
    pub(super) throttled: Option<(Moment, Duration, Error)>,
    /// The last token that the server refused, and when, by the wall clock.
    pub(super) refused_token: Option<(Arc<AccessToken>, SystemTime)>,
    /// How many times in a row the service has given another token for one that the server refused.
    pub(super) refused: Retry,
}

impl Slot {
    pub(super) fn new(scope: Arc<str>) -> Self {
        Self {
            scope,
            token: None,
            flight: None,
            retry: Retry::default(),
            failure: None,
            throttled: None,
            refused_token: None,
            refused: Retry::default(),
        }
    }

    /// For how much longer the service throttles requests, and its error.
    pub(super) fn throttling(&self, now: Moment) -> Option<(Duration, Error)> {
        let (since, pause, error) = self.throttled.as_ref()?;
        let left = pause.checked_sub(now.since(*since)?)?;
        (!left.is_zero()).then(|| (left, error.clone()))
    }

    pub(super) fn flight_under_way(&self) -> Option<&Flight> {
        self.flight.as_ref().filter(|flight| flight.is_of_this_process())
    }

    /// What a fetch must not bring.
    pub(super) fn unwanted(&self) -> Unwanted {
        Unwanted {
            known: self.token.as_ref().map(|token| token.secret.clone()),
            refused_on: self.refused_token.as_ref().map(|(_, on)| *on),
        }
    }

    /// Whether the server has refused its token.
    pub(super) fn is_refused(&self) -> bool {
        let refused = self.refused_token.as_ref().map(|(token, _)| &token.secret);
        refused.is_some_and(|refused| self.token.as_ref().is_some_and(|token| token.secret == *refused))
    }

    /// Whether its token lives as long as this one.
    pub(super) fn has_as_good_as(&self, token: &AccessToken) -> bool {
        self.token.as_ref().is_some_and(|known| known.lifetime.expires_at >= token.lifetime.expires_at)
    }
}
