//! Which server a cancel request is for.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The address of each session's server, by the process id and secret key that the server gave to the client. A server's name may
/// have several addresses.
#[derive(Debug, Default)]
pub struct CancelKeys(Mutex<HashMap<Box<[u8]>, SocketAddr>>);

impl CancelKeys {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key until the result is dropped.
    #[must_use]
    pub fn insert(&self, key: Box<[u8]>, address: SocketAddr) -> KnownKey<'_> {
        self.lock().insert(key.clone(), address);
        KnownKey { keys: self, key }
    }

    /// Return the address of the session with this key.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<SocketAddr> {
        self.lock().get(key).copied()
    }
}

/// The key of an open session.
#[derive(Debug)]
pub struct KnownKey<'keys> {
    keys: &'keys CancelKeys,
    key: Box<[u8]>,
}

impl Drop for KnownKey<'_> {
    fn drop(&mut self) {
        self.keys.lock().remove(&self.key);
    }
}
