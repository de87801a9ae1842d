//! Where other programs keep their files.

use std::{env, path::PathBuf};

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

/// The user's own service file for libpq, by the environment.
#[must_use]
pub fn service_file(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = variable(variables::APPDATA).filter(|folder| !folder.is_empty())?;
    Some(PathBuf::from(folder).join("postgresql").join(".pg_service.conf"))
}

/// Where libpq looks for `pg_service.conf` unless `PGSYSCONFDIR` says so: unknown, for every build has a folder of its own.
pub const LIBPQ_SYSTEM: Option<&str> = None;
