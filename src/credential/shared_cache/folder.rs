//! The folder, its key, and files that no other user can have written or read.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use ring::{hmac, rand::SecureRandom};

use super::VARIABLE;
use crate::platform::private_file;

/// Creates the folder if it does not exist.
pub(super) fn check(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    if !folder.is_absolute() {
        return Err(format!("{VARIABLE}={shown} is not an absolute path; tokens are not shared"));
    }
    private_file::create_folder(folder)
        .map_err(|error| format!("could not create {VARIABLE}={shown}: {error}; tokens are not shared"))?;
    private_file::check_folder(folder).map_err(|reason| format!("{VARIABLE}={shown} {reason}; tokens are not shared"))
}

/// Why a file cannot be used.
pub(super) enum Unreadable {
    /// The file does not exist.
    Absent,
    /// What is wrong with it.
    Refused(String),
}

/// The content of a file that no other user can have written or read.
pub(super) fn read_private(path: &Path, at_most: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, Unreadable> {
    let refused = |reason: String| Unreadable::Refused(format!("{} {reason}; it is not used", path.display()));
    let file = match private_file::options().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unreadable::Absent),
        Err(error) => return Err(refused(format!("could not be opened ({error})"))),
    };
    let metadata = file.metadata().map_err(|error| refused(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > at_most {
        return Err(refused("is not a file of this package".to_owned()));
    }
    private_file::check_file(&file).map_err(refused)?;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    File::take(file, at_most).read_to_end(&mut bytes).map_err(|error| refused(error.to_string()))?;
    Ok(bytes)
}

/// The path of a new file that will be renamed to `path`; no other thread or process writes to it.
pub(super) fn private_name(path: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{count}.new", std::process::id()))
}

/// The folder's key, which the first process creates.
pub(super) fn key(folder: &Path) -> Result<hmac::Key, String> {
    const LENGTH: usize = 32;
    let path = folder.join("key");
    loop {
        match read_private(&path, LENGTH as u64) {
            Ok(bytes) if bytes.len() == LENGTH => return Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
            Ok(_) => return Err(format!("{} is damaged; remove it", path.display())),
            Err(Unreadable::Refused(reason)) => return Err(reason),
            Err(Unreadable::Absent) => {}
        }
        let mut bytes = zeroize::Zeroizing::new([0; LENGTH]);
        ring::rand::SystemRandom::new().fill(&mut *bytes).map_err(|_| "no random numbers".to_owned())?;
        let fresh = private_name(&path);
        let made = (|| {
            private_file::options().write(true).create_new(true).open(&fresh)?.write_all(&*bytes)?;
            // Unlike a rename, this does not replace the key of a process that was faster.
            match fs::hard_link(&fresh, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                outcome => outcome,
            }
        })();
        let _ = fs::remove_file(&fresh);
        made.map_err(|error: io::Error| format!("could not write {}: {error}", path.display()))?;
    }
}
