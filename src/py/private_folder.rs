//! Whether a folder is private enough for secrets, for the command line.

use std::path::PathBuf;

use pyo3::pyfunction;

use crate::platform::private_file;

/// Why a folder is not this user's alone, as the rest of a sentence about it; None if it is.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "as it comes from Python")]
pub fn folder_defect(folder: PathBuf) -> Option<String> {
    private_file::check_folder(&folder).err()
}
