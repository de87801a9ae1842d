use std::{path::Path, sync::Barrier, time::SystemTime};

use async_trait::async_trait;

use super::*;
use crate::platform::{limits::FETCH_LIMIT, scratch::Scratch};

/// Counts its requests.
#[derive(Debug, Default)]
struct Counting(AtomicU32);

#[async_trait]
impl TokenSource for Counting {
    fn name(&self) -> &'static str {
        "Counting"
    }

    fn is_shareable(&self) -> bool {
        true
    }

    async fn fetch(&self, _scope: &str, _deadline: Instant) -> Result<FetchedToken, Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let expires_at = SystemTime::now() + Duration::from_secs(3600);
        Ok(FetchedToken::new("token".into(), expires_at))
    }
}

fn entry(folder: &Path, source: &Counting, scope: &str) -> Result<Entry, String> {
    folder::check(folder)?;
    Ok(Entry::new(folder, folder::key(folder)?, source, scope))
}

#[test]
fn a_process_that_comes_while_another_ends_makes_no_request() {
    const PROCESSES: usize = 4;
    const ROUNDS: u32 = 200;
    let (folder, source, start) = (Scratch::path(), Counting::default(), Barrier::new(PROCESSES));
    let process = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let entries = (0..ROUNDS).map(|round| entry(&folder, &source, &round.to_string()).unwrap());
        for entry in entries.collect::<Vec<_>>() {
            start.wait();
            let deadline = Instant::now() + FETCH_LIMIT;
            runtime.block_on(entry.fetch(&source, "scope", &Unwanted::default(), deadline)).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(process);
        }
    });
    assert_eq!(source.0.into_inner(), ROUNDS);
}

#[test]
fn processes_that_create_the_folder_together_have_one_key() {
    const THREADS: usize = 4;
    for _ in 0..50 {
        let (folder, start) = (Scratch::path(), Barrier::new(THREADS));
        let name = || {
            start.wait();
            entry(&folder, &Counting::default(), "scope").map(|entry| entry.name)
        };
        let names =
            std::thread::scope(|scope| [(); THREADS].map(|()| scope.spawn(name)).map(|thread| thread.join().unwrap()));
        let first = names[0].clone().unwrap();
        assert!(names.iter().all(|name| name.as_ref() == Ok(&first)), "{names:?}");
    }
}
