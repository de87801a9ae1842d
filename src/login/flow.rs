//! One login, from the request to user and password.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError},
};

use super::{
    claims::{self, Claims},
    principal::{guest_account, guest_role, principal_name},
};
use crate::{
    cache::{AccessToken, Fetch, Lookup, TokenCache},
    connection::cloud::Cloud,
    error::Error,
    platform::{
        clock::{Clock, Moment},
        fork,
        secret::Secret,
        sync::Mutex,
    },
};

/// The user and the password of one connection.
#[derive(Debug, Clone)]
pub struct Login {
    /// The PostgreSQL role; `None` where the caller gives one.
    pub user: Option<Arc<str>>,
    /// The password.
    pub token: Arc<AccessToken>,
}

/// The login that a caller needs.
#[derive(Debug, Clone)]
pub struct LoginRequest {
    /// Scope of the token.
    pub scope: Arc<str>,
    /// The caller gives the user: the token's claims are not read.
    pub user_known: bool,
    /// A token that the server refused, to be replaced.
    pub instead_of: Option<Secret>,
    /// Until when the caller waits; until it is set, the login waits for no throttled service.
    pub deadline: Arc<OnceLock<Moment>>,
}

/// How often a login tries again after a fetch was abandoned, for example by an event loop that ended.
const HANDOVERS: usize = 5;

/// Fetches that a login has begun and that its caller must make.
pub type Fetches = Arc<Mutex<Vec<Fetch>>>;

/// The tokens of one credential, and the roles that they belong to.
#[derive(Debug)]
pub struct Logins {
    /// The cache.
    pub tokens: Arc<TokenCache>,
    /// Role names by tenant and object id, so that a renewed token of the same identity needs no second look-up.
    names: Mutex<HashMap<String, Arc<str>>>,
}

impl Logins {
    /// An empty cache.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { tokens: TokenCache::new(clock), names: Mutex::default() }
    }

    /// The login, if everything that it needs is cached; with a fetch if it is time to renew the token.
    #[must_use]
    pub fn cached(&self, scope: &str, user_known: bool) -> Option<(Login, Option<Fetch>)> {
        let (token, fetch) = self.tokens.ready(scope)?;
        let user = if user_known { None } else { Some(Arc::clone(token.principal.get()?)) };
        Some((Login { user, token }, fetch))
    }

    /// Obtain a token, and the user that it names.
    ///
    /// # Errors
    /// No token could be obtained, or it does not lead to a user.
    pub async fn login(self: Arc<Self>, request: LoginRequest, fetches: Fetches) -> Result<Login, Error> {
        let token = self.token(&request.scope, &request, &fetches).await?;
        if request.user_known {
            return Ok(Login { user: None, token });
        }
        let user = match token.principal.get() {
            Some(user) => Arc::clone(user),
            None => self.name_principal(&token, &request, &fetches).await?,
        };
        Ok(Login { user: Some(user), token })
    }

    /// The token for `scope`, cached or fetched. After an abandoned flight it looks again, because one of the waiters must lead
    /// the next.
    async fn token(&self, scope: &str, request: &LoginRequest, fetches: &Fetches) -> Result<Arc<AccessToken>, Error> {
        let deadline = request.deadline.get().copied().unwrap_or_else(|| self.tokens.now());
        for _ in 0..HANDOVERS {
            let lookup = match &request.instead_of {
                Some(refused) if *scope == *request.scope => {
                    self.tokens.replace(scope, refused.expose(), deadline).ok_or(Error::NoOther)?
                }
                _ => self.tokens.lookup(scope, deadline),
            };
            let (lookup, fetch) = match lookup {
                Lookup::Ready(token, fetch) => (Ok(token), fetch),
                Lookup::Pending(flight, fetch) => (Err(flight), fetch),
                Lookup::Throttled(error) => return Err(error),
            };
            if let Some(fetch) = fetch {
                fetches.lock().unwrap_or_else(PoisonError::into_inner).push(fetch);
            }
            match lookup {
                Ok(token) => return Ok(token),
                Err(flight) => {
                    match flight.await {
                        // It may have expired before its waiter ran: a busy event loop, a suspended machine.
                        Some(Ok(token)) if !token.lifetime.is_usable(self.tokens.now()) => {}
                        Some(result) => return result,
                        None => {}
                    }
                }
            }
        }
        Err(Error::Abandoned(
            "every attempt to fetch a token was abandoned before it ended; is the process out of threads or file descriptors?"
                .to_owned(),
        ))
    }

    /// Determine the role from the token's claims or from those of a token for Azure Resource Manager, and remember it.
    async fn name_principal(
        &self,
        token: &AccessToken,
        request: &LoginRequest,
        fetches: &Fetches,
    ) -> Result<Arc<str>, Error> {
        let claims = Claims::of_token(token.secret.expose())?;
        let identity = match (claims.text("tid"), claims.text("oid")) {
            (tenant, Some(object)) => Some(format!("{}/{object}", tenant.unwrap_or_default())),
            _ => None,
        };
        if let Some(account) = guest_account(&claims) {
            return Err(Error::GuestName { account: account.to_owned(), role: guest_role(account) });
        }
        let known = identity.as_ref().and_then(|identity| self.known_name(identity));
        let name = if let Some(name) = known.or_else(|| principal_name(&claims).map(Arc::from)) {
            name
        } else {
            let management = Cloud::of_scope(&request.scope).unwrap_or(Cloud::Public).management_scope();
            let other = self
                .token(management, request, fetches)
                .await
                .map_err(|error| Error::ManagementScope(Arc::new(error)))?;
            match principal_name(&Claims::of_token(other.secret.expose())?) {
                Some(name) => Arc::from(name),
                None => return Err(Error::NoPrincipalName { claims: claims::names(token.secret.expose())? }),
            }
        };
        if let Some(identity) = identity {
            let _guard = fork::guarded();
            self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(identity, Arc::clone(&name));
        }
        Ok(Arc::clone(token.principal.get_or_init(|| name)))
    }

    fn known_name(&self, identity: &str) -> Option<Arc<str>> {
        let _guard = fork::guarded();
        self.names.lock().unwrap_or_else(PoisonError::into_inner).get(identity).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        task::{Context, Poll, Waker},
        time::Duration,
    };

    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;
    use crate::{cache::FetchedToken, platform::clock::TestClock};

    const SCOPE: &str = "https://ossrdbms-aad.database.windows.net/.default";
    const MANAGEMENT: &str = "https://management.azure.com/.default";
    /// Of a token whose claims have no name.
    const NAMELESS: &str = r#"{"tid": "t", "oid": "o"}"#;
    const NAMED: &str = r#"{"tid": "t", "oid": "o", "upn": "app"}"#;

    fn logins() -> (Arc<Logins>, Arc<TestClock>) {
        let clock = Arc::new(TestClock::default());
        (Arc::new(Logins::new(clock.clone())), clock)
    }

    fn request(user_known: bool, instead_of: Option<&Login>) -> LoginRequest {
        let instead_of = instead_of.map(|login| login.token.secret.clone());
        LoginRequest { scope: SCOPE.into(), user_known, instead_of, deadline: Arc::default() }
    }

    /// Log in to a service that issues tokens with these claims, one for each request; returns the scopes that it was asked for.
    fn log_in(logins: &Arc<Logins>, clock: &TestClock, request: LoginRequest, claims: &[&str]) -> (Login, Vec<String>) {
        let (fetches, mut scopes) = (Fetches::default(), Vec::new());
        let mut login = Box::pin(Arc::clone(logins).login(request, Arc::clone(&fetches)));
        let mut claims = claims.iter().enumerate();
        loop {
            if let Poll::Ready(outcome) = login.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                assert!(claims.next().is_none(), "all were asked for");
                return (outcome.unwrap(), scopes);
            }
            let fetch = fetches.lock().unwrap().pop().expect("a login that waits has begun a fetch");
            scopes.push(fetch.scope().to_string());
            let (number, claims) = claims.next().expect("no more are asked for");
            let signature = format!("{number} at {:?}", clock.now());
            let token = ["{}", claims, &signature].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".");
            let expires_at = clock.wall() + Duration::from_secs(3600);
            fetch.answer("test", Ok(FetchedToken::new(token.as_str().into(), expires_at)));
            clock.advance(Duration::from_secs(1));
        }
    }

    #[test]
    fn a_cached_login_has_token_and_user() {
        let (logins, clock) = logins();
        assert!(logins.cached(SCOPE, true).is_none());
        let (without_user, _) = log_in(&logins, &clock, request(true, None), &[NAMED]);
        assert!(
            without_user.user.is_none() && logins.cached(SCOPE, true).is_some_and(|(login, _)| login.user.is_none())
        );
        assert!(logins.cached(SCOPE, false).is_none(), "the claims have not been read");
        let (login, scopes) = log_in(&logins, &clock, request(false, None), &[]);
        assert!(scopes.is_empty());
        let (cached, fetch) = logins.cached(SCOPE, false).unwrap();
        assert_eq!((cached.user.as_deref(), login.user.as_deref()), (Some("app"), Some("app")));
        assert!(Arc::ptr_eq(&cached.token, &login.token) && fetch.is_none());
    }

    #[test]
    fn an_identity_is_looked_up_once() {
        let (logins, clock) = logins();
        let (first, scopes) = log_in(&logins, &clock, request(false, None), &[NAMELESS, NAMED]);
        assert_eq!((first.user.as_deref(), scopes), (Some("app"), vec![SCOPE.to_owned(), MANAGEMENT.to_owned()]));
        // The token for Azure Resource Manager has expired by then.
        clock.advance(Duration::from_secs(4000));
        let (second, scopes) = log_in(&logins, &clock, request(false, None), &[NAMELESS]);
        assert_eq!((second.user.as_deref(), scopes), (Some("app"), vec![SCOPE.to_owned()]));
    }

    #[test]
    fn only_the_refused_token_is_replaced() {
        let (logins, clock) = logins();
        let (refused, _) = log_in(&logins, &clock, request(true, None), &[NAMELESS]);
        let (login, scopes) = log_in(&logins, &clock, request(false, Some(&refused)), &[NAMELESS, NAMED]);
        assert_eq!((login.user.as_deref(), scopes), (Some("app"), vec![SCOPE.to_owned(), MANAGEMENT.to_owned()]));
        assert_ne!(login.token.secret, refused.token.secret);
    }
}
