//! What the cache knows about one scope.

use std::{sync::Arc, time::Duration};

use super::{AccessToken, Flight, policy::Retry};
use crate::{
    error::{Error, LastFailure},
    platform::{clock::Moment, secret::Secret},
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
    /// The last token that the server refused.
    pub(super) refused_token: Option<Arc<AccessToken>>,
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

    /// The tokens that a fetch is to replace: the current one, and one that was refused, which others may still offer.
    pub(super) fn unwanted(&self) -> Vec<Secret> {
        let refused = self.refused_token.iter().filter(|refused| !self.has(refused));
        self.token.iter().chain(refused).map(|token| token.secret.clone()).collect()
    }

    /// Whether this is its token.
    pub(super) fn has(&self, token: &AccessToken) -> bool {
        self.token.as_ref().is_some_and(|known| known.secret == token.secret)
    }

    /// Whether its token lives as long as this one.
    pub(super) fn has_as_good_as(&self, token: &AccessToken) -> bool {
        self.token.as_ref().is_some_and(|known| known.lifetime.expires_at >= token.lifetime.expires_at)
    }
}
