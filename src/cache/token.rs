//! An access token before and after it enters the cache.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use super::policy::Lifetime;
use crate::platform::secret::Secret;

/// An access token in the cache.
#[derive(Debug)]
pub struct AccessToken {
    /// The token itself.
    pub secret: Secret,
    /// When it was obtained, should be renewed and expires.
    pub lifetime: Lifetime,
    /// It was read from the cache that processes share.
    pub from_shared_cache: bool,
    /// The PostgreSQL role that it logs in as, once that has been determined.
    pub principal: OnceLock<Arc<str>>,
}

/// An access token as a credential returns it.
#[derive(Debug, Clone)]
pub struct FetchedToken {
    /// The token.
    pub secret: Secret,
    /// When it expires.
    pub expires_at: SystemTime,
    /// When its issuer asks for it to be renewed, if it states that.
    pub refresh_at: Option<SystemTime>,
    /// It was read from the cache that processes share.
    pub from_shared_cache: bool,
}

impl FetchedToken {
    /// A new token whose issuer does not ask for renewal.
    #[must_use]
    pub const fn new(secret: Secret, expires_at: SystemTime) -> Self {
        Self { secret, expires_at, refresh_at: None, from_shared_cache: false }
    }
}
