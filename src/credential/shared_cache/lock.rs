//! The lock of a process that fetches a token for all.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::platform::{limits::FETCH_LIMIT, private_file};

/// A file that tells other processes that this one fetches a token.
pub(super) struct FetchLock(PathBuf);

impl FetchLock {
    /// Take the lock of an entry's file.
    ///
    /// # Errors
    /// `AlreadyExists`: another process has it.
    pub(super) fn acquire(entry: &Path) -> io::Result<Self> {
        let path = entry.with_extension("fetching");
        let created = private_file::options().write(true).create_new(true).open(&path);
        if let Err(error) = &created
            && error.kind() == io::ErrorKind::AlreadyExists
            && is_stale(&path)
        {
            // Its process died; the process that removes it may be the next to create one.
            let _ = fs::remove_file(&path);
        }
        created.map(|_| Self(path))
    }
}

impl Drop for FetchLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // removed as stale by another process
    }
}

/// Whether no fetch can last since this file was made. One from the future is as old as one from the past: the clock was set
/// back since, and its process would delay all others until the clock has caught up.
fn is_stale(path: &Path) -> bool {
    let Ok(modified) = fs::symlink_metadata(path).and_then(|metadata| metadata.modified()) else { return false };
    let distance = SystemTime::now().duration_since(modified).unwrap_or_else(|ahead| ahead.duration());
    distance > FETCH_LIMIT
}
