//! The identity that the proxy logs in with.

use std::{
    future::poll_fn,
    sync::{Arc, PoisonError},
};

use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};

use crate::{
    credential::{self, TokenSource},
    error::Error,
    login::{Fetches, Login, LoginRequest, Logins},
};

/// The identity that the proxy logs in with.
#[derive(Debug)]
pub struct Identity {
    /// Its tokens.
    pub logins: Arc<Logins>,
    /// Where they come from.
    pub source: Arc<dyn TokenSource>,
}

impl Identity {
    /// Return a login, and whether its token had to be waited for: then requesting another one would not help.
    ///
    /// # Errors
    /// There is no token, or not in time.
    pub async fn login(&self, request: LoginRequest, deadline: Instant) -> Result<(Login, bool), Error> {
        let scope = Arc::clone(&request.scope);
        let begun = Instant::now();
        // It may have been set before, for another attempt of the same login.
        let _ = request.deadline.set(self.logins.tokens.now().after(deadline.saturating_duration_since(begun)));
        let fetches = Fetches::default();
        let mut future = Arc::clone(&self.logins).login(request, Arc::clone(&fetches)).boxed();
        let mut waited = false;
        let login = poll_fn(|cx| {
            let polled = future.as_mut().poll(cx);
            let begun = std::mem::take(&mut *fetches.lock().unwrap_or_else(PoisonError::into_inner));
            for fetch in begun {
                credential::start(fetch, Arc::clone(&self.source));
            }
            waited |= polled.is_pending();
            polled
        });
        let Ok(login) = timeout_at(deadline, login).await else {
            return Err(self.logins.tokens.too_late(&scope, begun.elapsed()));
        };
        let login = login?;
        if login.token.from_shared_cache {
            // As good as a cached one: the server may have refused it to other processes.
            waited = false;
        } else if !waited {
            self.logins.tokens.stats.hit();
        }
        Ok((login, waited))
    }
}
