//! The lock of a process that fetches a token for all.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
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
            && age(&path).is_some_and(|age| age > FETCH_LIMIT)
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

fn age(path: &Path) -> Option<Duration> {
    fs::symlink_metadata(path).ok()?.modified().ok()?.elapsed().ok()
}
