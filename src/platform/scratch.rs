//! Folders for tests and the fuzzer.

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// The path of a folder, in memory where there is such a file system. Whatever is there is removed when this is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A path that nothing else uses and where nothing is.
    #[must_use]
    pub fn path() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("azure-postgresql-auth-{}-{number}", process::id()));
        let _ = fs::remove_dir_all(&path); // of a process that had our id, and was killed
        Self(path)
    }

    /// The same with a folder there.
    ///
    /// # Panics
    /// The folder cannot be created.
    #[must_use]
    #[allow(clippy::expect_used, reason = "tests have nothing to recover")]
    pub fn folder() -> Self {
        let scratch = Self::path();
        fs::create_dir(&scratch.0).expect("a folder can be created");
        scratch
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_there_goes_with_it() {
        let (one, other) = (Scratch::folder(), Scratch::folder());
        fs::write(one.join("file"), "text").unwrap();
        assert!(!other.join("file").exists(), "each has its own");
        let path = one.to_owned();
        drop(one);
        assert!(!path.exists() && other.exists());
    }
}
