//! Tokens for all processes of one user on one machine, for programs that name a folder to keep them in.
//!
//! Tokens live in memory. Workers that a server forks inherit them, but a fleet of short-lived programs asks the identity
//! service once each. [`VARIABLE`] names a folder that they share; it should lie in memory (`/run`, `/dev/shm`), for what is
//! in it is as good as a password until it expires. So:
//!
//! - The folder is 0700 and the files in it 0600, all of the current user, and none of them a symbolic link; on Windows their
//!   access control lists name only the user, the system and its administrators. Any other is not used, and
//!   the log says so.
//! - A file's name says whose token it is, as a keyed hash: of the credential's settings and of the environment that it
//!   reads, a secret included. Another identity has another file.
//! - Each file ends in a keyed hash of what it holds. A truncated file or a changed one is not used.
//! - A file is replaced atomically. A process that fetches a token puts a lock file beside it, and others wait a moment for
//!   its outcome.
//! - Nobody waits long for the folder or for a lock in it: a login without them only costs a request.

mod entry;
mod folder;
mod lock;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use entry::Entry;
#[cfg(any(test, fuzzing))]
pub(super) use entry::fuzz;
use lock::FetchLock;
use tokio::time::Instant;

use super::{TokenSource, variable};
use crate::{
    cache::{
        FetchedToken, Unwanted,
        policy::{self, Decision, Lifetime, Retry},
    },
    error::Error,
    platform::{
        clock::Clock,
        fork,
        log_buffer::{self, Level},
        variables,
    },
};

/// The switch: an absolute path.
const VARIABLE: &str = variables::AZURE_POSTGRESQL_AUTH_CACHE_DIR;
/// How long to wait for a token that another process fetches, and how often to look.
const WAIT_LIMIT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long one operation on the folder may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// What a token from the folder is said to come from.
pub(super) const NAME: &str = "the shared cache";

/// Fetches a token, from the folder if there is one with a fresh token in it.
///
/// `unwanted` are the tokens that the caller cannot use.
pub(super) async fn fetch(
    source: &dyn TokenSource,
    scope: &str,
    unwanted: &Unwanted,
    deadline: Instant,
) -> Result<FetchedToken, Error> {
    let folder = variable(VARIABLE).filter(|_| source.is_shareable()).map(PathBuf::from);
    let entry = match folder {
        Some(folder) => Entry::find(folder, source, scope).await,
        None => None,
    };
    match entry {
        Some(entry) => entry.fetch(source, scope, unwanted, deadline).await,
        None => source.fetch(scope, deadline).await,
    }
}

/// The value, or what went wrong in the log.
fn logged<T>(outcome: Result<T, String>) -> Option<T> {
    outcome.inspect_err(|reason| log_buffer::record(Level::Warning, &format_args!("shared cache: {reason}"))).ok()
}

/// Does something with the folder, beside the one thread that makes all fetches and holds up forks while it is awake. `None`
/// if the folder does not answer, as one on a network file system may; then it is left alone until it does.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    /// The generation of the process in which something hangs, plus one.
    static HANGS_IN: AtomicU32 = AtomicU32::new(0);
    let this = fork::generation().wrapping_add(1);
    if HANGS_IN.load(Ordering::Relaxed) == this {
        // Dropped, it could touch the folder.
        std::mem::forget(work);
        return None;
    }
    let working = tokio::task::spawn_blocking(move || {
        let outcome = work();
        HANGS_IN.store(0, Ordering::Relaxed);
        outcome
    });
    let outcome = tokio::time::timeout(ANSWERS_WITHIN, working).await;
    if outcome.is_err() && HANGS_IN.swap(this, Ordering::Relaxed) != this {
        let limit = ANSWERS_WITHIN.as_secs();
        logged::<()>(Err(format!("{VARIABLE} does not answer within {limit} s; tokens are not shared until it does")));
    }
    outcome.ok()?.ok()
}

enum Turn {
    Token(FetchedToken),
    /// With the lock, unless another process has held it for too long.
    Fetch(Option<FetchLock>),
    /// Another process fetches one.
    Wait,
}

impl Entry {
    async fn find(folder: PathBuf, source: &dyn TokenSource, scope: &str) -> Option<Self> {
        let looked_at = folder.clone();
        let key = logged(aside(move || folder::check(&looked_at).and_then(|()| folder::key(&looked_at))).await?)?;
        Some(Self::new(&folder, key, source, scope))
    }

    async fn fetch(
        &self,
        source: &dyn TokenSource,
        scope: &str,
        unwanted: &Unwanted,
        deadline: Instant,
    ) -> Result<FetchedToken, Error> {
        let lock = match self.turn(unwanted, deadline).await {
            Turn::Token(token) => return Ok(token),
            Turn::Fetch(lock) => lock,
            Turn::Wait => None,
        };
        let fetched = source.fetch(scope, deadline).await;
        let (entry, unwanted) = (self.clone(), unwanted.clone());
        match fetched {
            Ok(token) => {
                let copy = source.is_shareable().then(|| token.clone());
                aside(move || {
                    copy.and_then(|token| logged(entry.write(&token, &unwanted)));
                    drop(lock);
                })
                .await;
                Ok(token)
            }
            // One that should be renewed, and was not, is still good.
            Err(error) => {
                let found = aside(move || {
                    let found = entry.read(&unwanted, |life, clock| life.is_usable(clock.now()));
                    drop(lock);
                    found
                });
                found.await.flatten().ok_or(error)
            }
        }
    }

    /// A fresh token of another process's, now or soon; or the turn to fetch one.
    async fn turn(&self, unwanted: &Unwanted, deadline: Instant) -> Turn {
        let give_up_at = deadline.min(Instant::now() + WAIT_LIMIT);
        loop {
            let (entry, unwanted) = (self.clone(), unwanted.clone());
            match aside(move || entry.look(&unwanted)).await.unwrap_or(Turn::Fetch(None)) {
                Turn::Wait if Instant::now() < give_up_at => tokio::time::sleep(LOOK_EVERY).await,
                turn => return turn,
            }
        }
    }

    fn look(&self, unwanted: &Unwanted) -> Turn {
        let is_fresh = |life: &Lifetime, clock: &dyn Clock| {
            policy::decide(life, &Retry::default(), clock.now(), policy::spread()) == Decision::Use
        };
        if let Some(token) = self.read(unwanted, is_fresh) {
            return Turn::Token(token);
        }
        match FetchLock::acquire(&self.file) {
            // Whoever held it may have written and gone since we looked.
            Ok(lock) => self.read(unwanted, is_fresh).map_or(Turn::Fetch(Some(lock)), Turn::Token),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Turn::Wait,
            Err(_) => Turn::Fetch(None),
        }
    }
}
