//! Starting a program in a process group of its own, and ending that group.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessGroup};

use super::fork;

/// The exit status by which a shell says that there is no such program.
pub const NO_PROGRAM: i32 = 127;
/// What PowerShell is called, besides `pwsh`.
pub const OTHER_POWERSHELLS: &[&str] = &[];

/// Returns a directory without files of the user's.
#[must_use]
pub fn neutral_directory() -> PathBuf {
    PathBuf::from("/bin")
}

/// The file in this directory that a shell would run for `name`.
#[must_use]
pub fn find_in(directory: &Path, name: &str) -> Option<PathBuf> {
    let candidate = directory.join(name);
    let runs = |found: std::fs::Metadata| found.is_file() && found.permissions().mode() & 0o111 != 0;
    candidate.metadata().is_ok_and(runs).then_some(candidate)
}

/// Process groups of commands that run now, by their leader's id.
static RUNNING: Mutex<Vec<(u32, i32)>> = Mutex::new(Vec::new());

fn running() -> MutexGuard<'static, Vec<(u32, i32)>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends all commands that run, for a process that ends.
pub fn stop_all() {
    let _guard = fork::guarded();
    // A parent's are its own to end.
    for (_, leader) in running().drain(..).filter(|(generation, _)| *generation == fork::generation()) {
        let _ = signal::killpg(Pid::from_raw(leader), Signal::SIGKILL); // Err: it ended by itself just now
    }
}

/// A child that does not outlive this value, nor do its own children: `az` is a shell script that starts Python, and killing
/// the script alone would leave that behind.
#[derive(Debug)]
pub struct ProcessTree {
    child: Box<dyn ChildWrapper>,
    leader: Option<i32>,
    ended: bool,
}

impl ProcessTree {
    /// Starts it.
    ///
    /// # Errors
    /// The system cannot start it.
    pub fn start(mut command: CommandWrap) -> io::Result<Self> {
        let child = command.wrap(ProcessGroup::leader()).spawn()?;
        let leader = child.id().and_then(|id| i32::try_from(id).ok());
        running().extend(leader.map(|leader| (fork::generation(), leader)));
        Ok(Self { child, leader, ended: false })
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut dyn ChildWrapper {
        &mut *self.child
    }

    /// Waits for the child; `None` where the program ignores SIGCHLD: then the system does not keep its status for us.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let outcome = self.child.wait().await;
        let unknown = |error: &io::Error| error.raw_os_error() == Some(libc::ECHILD);
        let status = match outcome {
            Err(error) if unknown(&error) => None,
            outcome => Some(outcome?),
        };
        self.ended = true;
        Ok(status)
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        running().retain(|(_, leader)| Some(*leader) != self.leader);
        if !self.ended {
            // Err: it ended by itself just now.
            let _ = self.child.start_kill();
        }
    }
}
