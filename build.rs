//! Lets test binaries that embed Python find libpython where the interpreter is not installed system-wide.
fn main() {
    // Else cargo takes every file of the repository for an input, and builds anew when a test or a figure has changed.
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "python")]
    pyo3_build_config::add_libpython_rpath_link_args();
}
