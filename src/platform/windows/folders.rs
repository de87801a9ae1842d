//! Where other programs keep their files.

use std::{
    env,
    ffi::OsString,
    os::windows::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use windows::Win32::UI::Shell::{CSIDL_APPDATA, SHGetFolderPathW};

use crate::platform::variables;

/// Where Azure Arc's agent puts its keys.
#[must_use]
pub fn arc_keys() -> PathBuf {
    env::var_os(variables::ProgramData)
        .map(PathBuf::from)
        .unwrap_or_default()
        .join("AzureConnectedMachineAgent")
        .join("Tokens")
}

/// Who may read them.
pub const ARC_READERS: &str = "be an administrator or a member of the group \"Hybrid agent extension applications\"";

/// The folder of the user's own settings for libpq. libpq asks the system for it; the variable `APPDATA` may differ.
#[must_use]
#[allow(unsafe_code)]
pub fn libpq_home() -> Option<PathBuf> {
    let mut path = [0; 260];
    // SAFETY: the function writes into the array, whose size it requires, and ends what it writes with a zero.
    unsafe { SHGetFolderPathW(None, CSIDL_APPDATA.cast_signed(), None, 0, &mut path) }.ok()?;
    let length = path.iter().position(|unit| *unit == 0)?;
    Some(Path::new(&OsString::from_wide(&path[..length])).join("postgresql"))
}

/// Where libpq looks for `pg_service.conf` unless `PGSYSCONFDIR` says so: unknown, for every build has a folder of its own.
pub const LIBPQ_SYSTEM: Option<&str> = None;
