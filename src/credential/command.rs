//! Running `az` and `azd`, and ending them.

use std::{ffi::OsStr, io, process::Output, process::Stdio, sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_identity::Executor;
use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessGroup};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::Instant,
};

use crate::error::seconds;

/// Runs a command line for at most `limit`. When time is up, it ends together with all it started: `az` is a shell script
/// that starts Python, and killing the script alone would leave that behind.
#[derive(Debug)]
pub struct BoundedExecutor {
    limit: Duration,
    deadline: Instant,
}

impl BoundedExecutor {
    pub fn new(limit: Duration, deadline: Instant) -> Arc<Self> {
        Arc::new(Self { limit, deadline })
    }
}

/// A child that does not outlive this value, nor do its own children.
struct Group(Option<Box<dyn ChildWrapper>>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Err: it ended by itself just now.
            let _ = child.start_kill();
        }
    }
}

#[async_trait]
impl Executor for BoundedExecutor {
    async fn run(&self, program: &OsStr, arguments: &[&OsStr]) -> io::Result<Output> {
        let mut command = CommandWrap::with_new(program, |command| {
            // Nothing can be asked: there is no terminal that belongs to us.
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        });
        command.wrap(ProcessGroup::leader());
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
        let mut group = Group(Some(child));
        let ended = async {
            let (stdout, stderr) = futures_util::future::try_join(read(stdout), read(stderr)).await?;
            let status = match &mut group.0 {
                Some(child) => child.wait().await?,
                None => return Err(io::ErrorKind::NotFound.into()),
            };
            Ok(Output { status, stdout, stderr })
        };
        let deadline = self.deadline.min(Instant::now() + self.limit);
        let outcome = tokio::time::timeout_at(deadline, ended).await;
        if outcome.is_ok() {
            group.0 = None;
        }
        outcome.unwrap_or_else(|_elapsed| {
            let limit = seconds(self.limit);
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("did not answer within {limit} s and was stopped")))
        })
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn run(script: &str, limit: Duration) -> io::Result<Output> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let executor = BoundedExecutor::new(limit, Instant::now() + Duration::from_secs(20));
            executor.run(OsStr::new("/bin/sh"), &[OsStr::new("-c"), OsStr::new(script)]).await
        })
    }

    #[test]
    fn gives_output_and_status() {
        let output = run("echo out; echo err >&2; exit 3", Duration::from_secs(10)).unwrap();
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(output.status.code(), Some(3));
    }

    #[test]
    fn ends_what_the_command_started_too() {
        // The grandchild holds a pipe open, so that its death is seen and not slept for.
        let (mut alive, held) = io::pipe().unwrap();
        let held_path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&held));
        let script = format!("exec 9>{held_path}; sleep 600 & wait");
        let error = run(&script, Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("within 0.3 s"), "{error}");
        drop(held);
        let (ended, all_ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            io::Read::read_to_end(&mut alive, &mut Vec::new()).unwrap();
            ended.send(()).unwrap();
        });
        all_ended.recv_timeout(Duration::from_secs(10)).expect("the grandchild still holds the pipe");
    }
}
