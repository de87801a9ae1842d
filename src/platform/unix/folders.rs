//! Where other programs keep their files.

use std::path::PathBuf;

use crate::platform::variables;

/// Where Azure Arc's agent puts its keys.
#[must_use]
pub fn arc_keys() -> PathBuf {
    PathBuf::from("/var/opt/azcmagent/tokens")
}

/// Who may read them.
pub const ARC_READERS: &str = "be a member of the group himds";

/// The folder of the user's own settings for libpq: `HOME`, without which libpq asks the user database, as this does.
#[must_use]
pub fn libpq_home() -> Option<PathBuf> {
    let home = std::env::var_os(variables::HOME).filter(|home| !home.is_empty()).map(PathBuf::from);
    home.or_else(std::env::home_dir)
}

/// Where libpq looks for `pg_service.conf` unless `PGSYSCONFDIR` says so. It is a directory chosen when libpq is built and
/// cannot be asked for; this is that of Debian's packages and of the wheels `psycopg-binary` and `psycopg2-binary`.
pub const LIBPQ_SYSTEM: Option<&str> = Some("/etc/postgresql-common");
