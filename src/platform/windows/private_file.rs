//! Files that only this user may read or write, besides the system and its administrators, who may read everything anyway.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::windows::fs::OpenOptionsExt,
    path::Path,
};

use windows::Win32::Storage::FileSystem::{FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT};

use super::access;

/// Options under which no link is followed. A new file has the access of its folder, which [`check_folder`] checks.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT.0);
    options
}

/// Makes a folder, if it is not there, with the access of the one that it is in.
///
/// # Errors
/// It cannot be made.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

/// Checks that a folder is closed to other users.
///
/// # Errors
/// It is not, with the reason as the rest of a sentence about it.
pub fn check_folder(folder: &Path) -> Result<(), String> {
    // Without the first flag a folder cannot be opened.
    let flags = FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT;
    let opened = OpenOptions::new().read(true).custom_flags(flags.0).open(folder);
    let opened = opened.map_err(|error| format!("could not be read: {error}"))?;
    if !opened.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("is not a folder".to_owned());
    }
    check_file(&opened)
}

/// Checks that an open file is closed to other users.
///
/// # Errors
/// It is not, with the reason as the rest of a sentence about it.
pub fn check_file(file: &File) -> Result<(), String> {
    access::check_private(file)
        .map_err(|reason| format!("{reason}; choose a folder in your profile, such as one below %LOCALAPPDATA%"))
}

/// Checks that no other user can read a file.
///
/// # Errors
/// They can, with the reason as the rest of a sentence about it.
pub fn check_not_public(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    access::check_private(&file).map_err(|reason| format!("it {reason}; keep it in your profile"))
}

/// Reads a whole file.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}
