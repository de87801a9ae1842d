//! Python's objects of cached logins, so that a cached login costs neither a copy of its token nor a lookup in the cache.

use std::{
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use pyo3::{prelude::*, types::PyDict};

use super::login::Login;
use crate::platform::{clock::Moment, fork};

/// The objects, by scope and by whether the caller knows the user.
///
/// Whoever holds the lock is attached to the interpreter and calls nothing that could detach (with a GIL: release it), not
/// even a destructor. So a fork finds it free: Python forks with the GIL held, and a free-threaded one stops all attached
/// threads first, outside of such sections. For the same reason nobody who waits for the lock keeps its holder from going on.
#[derive(Default)]
pub struct CachedLogins(Mutex<Vec<Entry>>);

/// More scopes than a credential has in practice. Beyond it, the object that was made first is dropped and made again when
/// needed.
const CAPACITY: usize = 8;

struct Entry {
    scope: Box<str>,
    user_known: bool,
    /// The cache's, at the time of the look-up that found the login.
    version: u64,
    /// A forked child renews tokens at another time than its parent.
    generation: u32,
    /// While the version stays the same, the login is valid, and nothing is due, in this time.
    fresh: Range<Moment>,
    login: Py<Login>,
    /// User and password as a dictionary, of which each caller gets a copy; `None` without a user.
    conninfo: Option<Py<PyDict>>,
}

impl Entry {
    fn is_fresh(&self, now: Moment) -> bool {
        self.generation == fork::generation() && self.fresh.contains(&now)
    }
}

/// The object of a login.
pub enum Found {
    /// It is valid, and nothing is due.
    Fresh(Py<Login>),
    /// It is that of the current token, if that is still valid.
    Stale(Py<Login>),
    /// No object has this version.
    Missing,
}

impl CachedLogins {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find<'entries>(
        entries: &'entries [Entry],
        scope: &str,
        user_known: bool,
        version: u64,
    ) -> Option<&'entries Entry> {
        entries
            .iter()
            .find(|entry| entry.user_known == user_known && *entry.scope == *scope)
            .filter(|entry| entry.version == version)
    }

    /// Return the object of a login.
    pub fn get(&self, py: Python<'_>, scope: &str, user_known: bool, version: u64, now: Moment) -> Found {
        match Self::find(&self.entries(), scope, user_known, version) {
            Some(entry) if entry.is_fresh(now) => Found::Fresh(entry.login.clone_ref(py)),
            Some(entry) => Found::Stale(entry.login.clone_ref(py)),
            None => Found::Missing,
        }
    }

    /// Return user and password of a fresh login, in a dictionary that the caller must not change.
    pub fn conninfo(&self, py: Python<'_>, scope: &str, version: u64, now: Moment) -> Option<Py<PyDict>> {
        let entries = self.entries();
        let entry = Self::find(&entries, scope, false, version).filter(|entry| entry.is_fresh(now))?;
        entry.conninfo.as_ref().map(|conninfo| conninfo.clone_ref(py))
    }

    /// Keep the object of a login.
    pub fn insert(
        &self,
        py: Python<'_>,
        scope: &str,
        user_known: bool,
        version: u64,
        fresh: Range<Moment>,
        login: &Py<Login>,
    ) -> PyResult<()> {
        let conninfo = login.get().conninfo(py)?;
        let login = login.clone_ref(py);
        let generation = fork::generation();
        let entry = Entry { scope: scope.into(), user_known, version, generation, fresh, login, conninfo };
        let replaced = {
            let mut entries = self.entries();
            let same = entries.iter().position(|old| old.user_known == user_known && *old.scope == *scope);
            let replaced = match same {
                Some(place) => Some(entries.remove(place)),
                None if entries.len() == CAPACITY => entries.pop(),
                None => None,
            };
            entries.insert(0, entry);
            replaced
        };
        // Without the lock: the destructors of Python's objects run here.
        drop(replaced);
        Ok(())
    }

    /// State until when a login is fresh.
    pub fn extend(&self, login: &Py<Login>, until: Moment) {
        for entry in self.entries().iter_mut().filter(|entry| entry.login.is(login)) {
            entry.fresh.end = until;
            entry.generation = fork::generation();
        }
    }
}
