//! Running developers' command lines, and ending them.

use std::{
    env, io,
    path::{Path, PathBuf},
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use futures_util::future::{self, Either};
use process_wrap::tokio::CommandWrap;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout, timeout_at},
};

use crate::platform::{
    process::{self, ProcessTree},
    variables,
};

/// No token is that long. What a command writes beyond it is read, so that it can go on, and forgotten.
const OUTPUT_LIMIT: usize = 1 << 20;
/// How long the rest of the output may take once the command has ended. All that it has written is there by then; what it left
/// running in the background may keep its pipes open for as long as that runs.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// The output of a command line.
#[derive(Debug)]
pub struct Output {
    /// `None` if the system does not keep it.
    pub status: Option<ExitStatus>,
    pub stdout: String,
    pub stderr: String,
}

/// The program that a shell would run for `name`, except below the current directory, where anybody may have put one.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os(variables::PATH)?;
    let mut directories = env::split_paths(&path).filter(|directory| directory.is_absolute());
    directories.find_map(|directory| process::find_in(&directory, name))
}

/// Run a program for at most `limit`; after that, it is killed together with the processes it started.
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
    let command = CommandWrap::with_new(program, |command| {
        // It cannot ask anything: there is no terminal.
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Not the current directory, whose files the command could mistake for its own.
        command.current_dir(process::neutral_directory()).env(variable.0, variable.1);
    });
    let mut tree = ProcessTree::start(command)?;
    let pipes = (tree.child().stdout().take(), tree.child().stderr().take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended = async {
        let reading = pin!(future::try_join(read(pipes.0, &mut stdout), read(pipes.1, &mut stderr)));
        match future::select(pin!(tree.wait()), reading).await {
            Either::Left((status, reading)) => {
                if let Ok(outcome) = timeout(LAST_OUTPUT, reading).await {
                    outcome?;
                }
                status
            }
            Either::Right((outcome, waiting)) => {
                outcome?;
                waiting.await
            }
        }
    };
    let status = timeout_at(deadline.min(Instant::now() + limit), ended)
        .await
        .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))?;
    Ok(Output { status, stdout: text(&stdout), stderr: text(&stderr) })
}

/// Read a pipe to its end, and keep what a token may take.
async fn read(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut part = vec![0; 8192];
    loop {
        let length = pipe.read(&mut part).await?;
        if length == 0 {
            return Ok(());
        }
        kept.extend_from_slice(&part[..length.min(OUTPUT_LIMIT - kept.len())]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
    fn what_the_command_leaves_running_does_not_delay_its_output() {
        let output = run("sleep 8 & echo out; echo err >&2; exit 3", Duration::from_secs(5)).unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(output.status.and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn output_that_is_too_long_is_cut() {
        let script = "head -c 3000000 /dev/zero | tr '\\0' x >&2 && echo out";
        let output = run(script, Duration::from_secs(10)).unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.len()), ("out\n", OUTPUT_LIMIT));
        assert_eq!(output.status.and_then(|status| status.code()), Some(0));
    }

    #[test]
    fn ends_what_the_command_started_too() {
        // The grandchild holds a pipe open, so the test sees its end without sleeping.
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
