//! Running developers' command lines, and ending them.

use std::{
    env, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessGroup};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::Instant,
};

use crate::platform::fork;

/// Where they run: not in the program's own directory, whose files they might take for theirs.
const DIRECTORY: &str = "/bin";
/// Nobody's token is as long; a command that never stops talking is stopped.
const OUTPUT_LIMIT: u64 = 1 << 20;

/// What a command line said.
#[derive(Debug)]
pub struct Output {
    /// `None` where the program ignores SIGCHLD: then the system does not keep it for us.
    pub status: Option<ExitStatus>,
    pub stdout: String,
    pub stderr: String,
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
struct Group {
    child: Box<dyn ChildWrapper>,
    leader: Option<i32>,
    ended: bool,
}

impl Group {
    fn new(child: Box<dyn ChildWrapper>) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok());
        running().extend(leader.map(|leader| (fork::generation(), leader)));
        Self { child, leader, ended: false }
    }

    async fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
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

impl Drop for Group {
    fn drop(&mut self) {
        running().retain(|(_, leader)| Some(*leader) != self.leader);
        if !self.ended {
            // Err: it ended by itself just now.
            let _ = self.child.start_kill();
        }
    }
}

/// The program that a shell would run for `name`.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|candidate| {
        candidate.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

/// Runs a program for at most `limit`; when time is up, it ends together with all it started.
///
/// # Errors
/// It cannot be started, or did not end in time ([`io::ErrorKind::TimedOut`]).
pub async fn run(
    program: &Path,
    arguments: &[&str],
    variable: (&str, &str),
    limit: Duration,
    deadline: Instant,
) -> io::Result<Output> {
    let mut command = CommandWrap::with_new(program, |command| {
        // Nothing can be asked: there is no terminal that belongs to us.
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.current_dir(DIRECTORY).env(variable.0, variable.1);
    });
    command.wrap(ProcessGroup::leader());
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
    let mut group = Group::new(child);
    let ended = async {
        let (stdout, stderr) = futures_util::future::try_join(read(stdout), read(stderr)).await?;
        Ok(Output { status: group.wait().await?, stdout, stderr })
    };
    tokio::time::timeout_at(deadline.min(Instant::now() + limit), ended)
        .await
        .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(OUTPUT_LIMIT).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn run(script: &str, limit: Duration) -> io::Result<Output> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let deadline = Duration::from_secs(20);
        runtime.block_on(async {
            super::run(Path::new("/bin/sh"), &["-c", script], ("SPEAKS", "loud"), limit, Instant::now() + deadline)
                .await
        })
    }

    #[test]
    fn gives_output_and_status() {
        let output = run("basename $PWD; echo $SPEAKS; echo err >&2; exit 3", Duration::from_secs(10)).unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("bin\nloud\n", "err\n"));
        assert_eq!(output.status.and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn ends_what_the_command_started_too() {
        // The grandchild holds a pipe open, so that its death is seen and not slept for.
        let (mut alive, held) = io::pipe().unwrap();
        let held_path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&held));
        let script = format!("exec 9>{held_path}; sleep 600 & wait");
        let error = run(&script, Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(held);
        let (ended, all_ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            io::Read::read_to_end(&mut alive, &mut Vec::new()).unwrap();
            ended.send(()).unwrap();
        });
        all_ended.recv_timeout(Duration::from_secs(10)).expect("the grandchild still holds the pipe");
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-program"), None);
    }
}
