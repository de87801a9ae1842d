//! Windows' part of the platform; `unix` has the same names.

mod access;
pub mod clock;
pub mod folders;
pub mod fork;
pub mod private_file;
pub mod process;
pub mod socket;
pub mod stream;
