//! Unix's part of the platform; `windows` has the same names.

pub mod clock;
pub mod folders;
pub mod fork;
pub mod private_file;
pub mod process;
pub mod socket;
pub mod stream;
