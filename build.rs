//! Lets test binaries that embed Python find libpython where the interpreter is not installed system-wide.
fn main() {
    #[cfg(feature = "python")]
    pyo3_build_config::add_libpython_rpath_link_args();
}
