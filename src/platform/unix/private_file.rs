//! Files that only this user may read or write.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Options under which a new file is this user's alone, and no symbolic link is followed.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    options
}

/// Makes a folder of this user's alone, if it is not there.
///
/// # Errors
/// It cannot be made.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

/// Checks that a folder is this user's, and closed to others.
///
/// # Errors
/// It is not, with the reason as the rest of a sentence about it.
pub fn check_folder(folder: &Path) -> Result<(), String> {
    let metadata = fs::symlink_metadata(folder).map_err(|error| format!("could not be read: {error}"))?;
    if !metadata.is_dir() {
        return Err("is not a folder".to_owned());
    }
    check_owner_and_mode(&metadata)
}

/// Checks that an open file is this user's, and closed to others.
///
/// # Errors
/// It is not, with the reason as the rest of a sentence about it.
pub fn check_file(file: &File) -> Result<(), String> {
    check_owner_and_mode(&file.metadata().map_err(|error| format!("could not be read: {error}"))?)
}

fn check_owner_and_mode(metadata: &Metadata) -> Result<(), String> {
    let user = nix::unistd::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(format!("belongs to user {}, not to {user}", metadata.uid()));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("is open to other users (mode {mode:04o})"));
    }
    Ok(())
}

/// Checks that not everybody on this machine can read a file; its group may.
///
/// # Errors
/// They can, with the reason as the rest of a sentence about it.
pub fn check_not_public(path: &Path) -> Result<(), String> {
    let mode = fs::metadata(path).map_err(|error| error.to_string())?.permissions().mode();
    let others = mode & 0o007;
    if others == 0 {
        return Ok(());
    }
    Err(format!("other users can read it (mode {:03o}); chmod it to 0600", mode & 0o777))
}

/// Reads a whole file. A named pipe that nobody writes to is empty: its opening would wait for a writer, perhaps for ever.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    // What a writer is about to say is waited for, as a shell's `<(...)` needs it.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}
