//! The tokio runtime, which exists only while something is fetched.
//!
//! A fetch happens about once an hour, so a thread that waits for the next one would only be something to lose in a
//! fork and to stop at exit. The thread starts with the first fetch and ends with the last; a fetch that begins meanwhile
//! joins it. It never touches Python. After a fork the parent's is forgotten (see [`crate::platform::fork`]).

#[cfg(not(all(test, shuttle)))]
use std::cell::Cell;
use std::{future::Future, io, pin::Pin, sync::PoisonError};

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::{FutureExt, StreamExt, future::Either, stream::FuturesUnordered};

use super::{
    fork,
    sync::{Mutex, MutexGuard, thread},
};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Runner {
    generation: u32,
    tasks: UnboundedSender<Task>,
    /// Tasks sent and not yet ended. The thread ends when this falls to 0, decided under the lock.
    running: usize,
}

static RUNNER: Mutex<Option<Runner>> = Mutex::new(None);

fn runner() -> MutexGuard<'static, Option<Runner>> {
    RUNNER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Run `task` to its end, on no thread of the caller's. A panic in it ends only this task.
///
/// # Errors
/// The operating system refused to create a thread.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let task: Task = Box::pin(task);
    let _guard = fork::guarded();
    let mut slot = runner();
    if slot.as_ref().is_some_and(|runner| runner.generation != fork::generation()) {
        // The parent's: its thread does not exist in this process. Dropping its tasks would run their code.
        std::mem::forget(slot.take());
    }
    let task = match slot.as_mut() {
        Some(runner) => match runner.tasks.unbounded_send(task) {
            Ok(()) => {
                runner.running += 1;
                return Ok(());
            }
            Err(refused) => refused.into_inner(),
        },
        None => task,
    };
    let (tasks, queue) = unbounded();
    let _ = tasks.unbounded_send(task);
    thread::Builder::new().name("azure-pg-auth".to_owned()).spawn(move || run(queue))?;
    *slot = Some(Runner { generation: fork::generation(), tasks, running: 1 });
    Ok(())
}

/// The thread.
#[cfg(not(all(test, shuttle)))]
#[allow(clippy::missing_const_for_thread_local, reason = "it is const, which clippy does not see for Windows")]
fn run(queue: UnboundedReceiver<Task>) {
    thread_local! {
        static AWAKE: Cell<Option<fork::Guard>> = const { Cell::new(None) };
    }
    AWAKE.set(Some(fork::guarded()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(|| AWAKE.set(None))
        .on_thread_unpark(|| AWAKE.set(Some(fork::guarded())))
        .build();
    let Ok(runtime) = runtime else {
        // No file descriptors left: dropping the tasks wakes their waiters.
        *runner() = None;
        drop(queue);
        AWAKE.set(None);
        return;
    };
    runtime.block_on(serve(queue));
    // Without waiting: a name lookup in the blocking pool cannot be cancelled.
    runtime.shutdown_background();
    AWAKE.set(None);
}

/// The thread without tokio, whose timers and sockets shuttle does not know.
#[cfg(all(test, shuttle))]
fn run(queue: UnboundedReceiver<Task>) {
    shuttle::future::block_on(serve(queue));
}

/// Run tasks beside each other until the last has ended.
async fn serve(mut queue: UnboundedReceiver<Task>) {
    let mut tasks = FuturesUnordered::new();
    loop {
        let next = if tasks.is_empty() {
            Either::Left(queue.next().map(Some))
        } else {
            Either::Right(futures_util::future::select(queue.next(), tasks.next()).map(|first| match first {
                Either::Left((task, _)) => Some(task),
                Either::Right(_) => None,
            }))
        };
        match next.await {
            Some(Some(task)) => tasks.push(std::panic::AssertUnwindSafe(task).catch_unwind()),
            Some(None) => return,
            None if last_ended() => return,
            None => {}
        }
    }
}

/// Count one task as ended. Return whether it was the last: then the next [`spawn`] starts another thread.
fn last_ended() -> bool {
    let mut slot = runner();
    let Some(runner) = slot.as_mut() else { return true };
    runner.running -= 1;
    if runner.running == 0 {
        *slot = None;
        return true;
    }
    false
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn tasks_run_beside_each_other_and_a_panic_ends_only_its_own() {
        let (done, results) = mpsc::channel();
        let (release, released) = futures_channel::oneshot::channel();
        let waiting = done.clone();
        spawn(async move {
            let _ = released.await;
            waiting.send("first").unwrap();
        })
        .unwrap();
        spawn(async { panic!("a task's own") }).unwrap();
        spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            done.send("second").unwrap();
            let _ = release.send(());
        })
        .unwrap();
        assert_eq!(results.recv().unwrap(), "second");
        assert_eq!(results.recv().unwrap(), "first");
    }
}

#[cfg(all(test, shuttle))]
mod interleavings {
    use std::sync::Arc;

    use super::*;
    use crate::platform::sync::AtomicU64;

    /// The thread ends with its last task while others spawn the next ones: each of them runs all the same.
    #[test]
    fn every_task_runs_whenever_the_thread_ends() {
        shuttle::check_random(
            || {
                let ran = Arc::new(AtomicU64::new(0));
                let spawning: Vec<_> = (0..3)
                    .map(|_| {
                        let ran = Arc::clone(&ran);
                        thread::spawn(move || {
                            for _ in 0..2 {
                                let (sender, receiver) = futures_channel::oneshot::channel();
                                let ran = Arc::clone(&ran);
                                spawn(async move {
                                    ran.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                                    let _ = sender.send(());
                                })
                                .unwrap();
                                shuttle::future::block_on(receiver).unwrap();
                            }
                        })
                    })
                    .collect();
                for thread in spawning {
                    thread.join().unwrap();
                }
                assert_eq!(ran.load(std::sync::atomic::Ordering::Relaxed), 6);
            },
            1_000,
        );
    }
}
