//! Starting a program in a job of its own, and ending that job.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, CreationFlags, JobObject, KillOnDrop};
use windows::Win32::System::Threading::CREATE_NO_WINDOW;

use crate::platform::variables;

/// The exit status by which a shell says that there is no such program.
pub const NO_PROGRAM: i32 = 9009;
/// What PowerShell is called, besides `pwsh`: version 5, which every Windows has.
pub const OTHER_POWERSHELLS: &[&str] = &["powershell"];

/// What a shell appends to the name of a program, of those that can be run without one.
const SUFFIXES: [&str; 4] = ["exe", "com", "cmd", "bat"];

/// Returns a directory without files of the user's.
#[must_use]
pub fn neutral_directory() -> PathBuf {
    env::var_os(variables::SystemRoot).map_or_else(env::temp_dir, PathBuf::from)
}

/// The file in this directory that a shell would run for `name`.
#[must_use]
pub fn find_in(directory: &Path, name: &str) -> Option<PathBuf> {
    let mut candidates = SUFFIXES.iter().map(|suffix| directory.join(format!("{name}.{suffix}")));
    candidates.find(|candidate| candidate.is_file())
}

/// Ends all commands that run, for a process that ends: the system does, for their jobs are closed with the process.
pub fn stop_all() {}

/// A child that does not outlive this value, nor do its own children: `az` is a batch file that starts Python, and killing
/// the shell alone would leave that behind.
#[derive(Debug)]
pub struct ProcessTree(Box<dyn ChildWrapper>);

impl ProcessTree {
    /// Starts it.
    ///
    /// # Errors
    /// The system cannot start it.
    pub fn start(mut command: CommandWrap) -> io::Result<Self> {
        // No console window appears on the screen of a program that has none.
        command.wrap(CreationFlags(CREATE_NO_WINDOW)).wrap(KillOnDrop).wrap(JobObject);
        command.spawn().map(Self)
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut dyn ChildWrapper {
        &mut *self.0
    }

    /// Waits for the child alone: the job as a whole may have others that stay.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.inner_mut().wait().await.map(Some)
    }
}
