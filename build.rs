//! Lets test binaries that embed Python find libpython where the interpreter is not installed system-wide.
fn main() {
    // Otherwise cargo treats every file of the repository as an input, and rebuilds when a test or a figure changes.
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "python")]
    pyo3_build_config::add_libpython_rpath_link_args();
}
