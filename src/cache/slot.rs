//! What the cache knows about one scope.

use std::{sync::Arc, time::Duration};

use super::{AccessToken, Flight, policy::Retry};
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
    /// Tokens that the server refused, one after the other.
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

    /// Whether its token lives as long as this one.
    pub(super) fn has_as_good_as(&self, token: &AccessToken) -> bool {
        self.token.as_ref().is_some_and(|known| known.lifetime.expires_at >= token.lifetime.expires_at)
    }
}
