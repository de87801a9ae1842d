//! Tokens for all processes of one user on one machine, for those who name a folder to keep them in.
//!
//! Tokens live in memory. Workers that a server forks inherit them, but a fleet of short-lived programs asks the identity
//! service once each. [`VARIABLE`] names a folder that they share; it should lie in memory (`/run`, `/dev/shm`), for what is
//! in it is as good as a password until it expires. So:
//!
//! - The folder is 0700 and the files in it 0600, all of the current user, and none of them a symbolic link; on Windows their
//!   access control lists name nobody but the user, the system and its administrators. What is not like that is not used, and
//!   the log says so.
//! - A file's name says whose token it is, as a keyed hash: of the credential's settings and of the environment that it
//!   reads, a secret included. Another identity has another file.
//! - Each file ends in a keyed hash of what it holds. Half a file and a changed one are not used.
//! - A file is replaced whole. A process that fetches a token puts a lock file beside it, and others wait for its outcome for a moment.
//! - Nobody waits long for the folder or for a lock in it: a login without them only costs a request.

use std::{
    fs::{self, File},
    hash::Hasher,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ring::{hmac, rand::SecureRandom};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{TokenSource, variable};
use crate::{
    cache::{
        FetchedToken,
        policy::{self, Decision, Lifetime, Retry},
    },
    error::Error,
    platform::{
        clock::{Clock, SystemClock},
        fork,
        limits::FETCH_LIMIT,
        log_buffer::{self, Level},
        private_file,
        secret::Secret,
        variables,
    },
};

/// The switch: an absolute path.
const VARIABLE: &str = variables::AZURE_POSTGRESQL_AUTH_CACHE_DIR;
/// How long to wait for a token that another process fetches, and how often to look.
const WAIT_LIMIT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the folder may take for one operation.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// No entry comes near it.
const LARGEST_ENTRY: u64 = 64 * 1024;
/// Part of each name, so that versions that write another format do not meet.
const FORMAT: &[u8] = b"1";

/// What a token from the folder is said to come from.
pub(super) const NAME: &str = "the shared cache";

/// Fetches a token, from the folder if there is one with a fresh token in it.
///
/// `known` is the token that the caller has and wants another one for.
pub(super) async fn fetch(
    source: &dyn TokenSource,
    scope: &str,
    known: Option<&Secret>,
    deadline: Instant,
) -> Result<FetchedToken, Error> {
    let folder = variable(VARIABLE).filter(|_| source.is_shareable()).map(PathBuf::from);
    let entry = match folder {
        Some(folder) => Entry::find(folder, source, scope).await,
        None => None,
    };
    match entry {
        Some(entry) => entry.fetch(source, scope, known, deadline).await,
        None => source.fetch(scope, deadline).await,
    }
}

/// The value, or what went wrong in the log.
fn logged<T>(outcome: Result<T, String>) -> Option<T> {
    outcome.inspect_err(|reason| log_buffer::record(Level::Warning, &format_args!("shared cache: {reason}"))).ok()
}

/// Does something with the folder, beside the one thread that makes all fetches and holds up forks while it is awake. `None`
/// if the folder does not answer, as one on a network file system may; then it is left alone until it does.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    /// The generation of the process in which something hangs, plus one.
    static HANGS_IN: AtomicU32 = AtomicU32::new(0);
    let this = fork::generation().wrapping_add(1);
    if HANGS_IN.load(Ordering::Relaxed) == this {
        // Dropped, it could touch the folder.
        std::mem::forget(work);
        return None;
    }
    let working = tokio::task::spawn_blocking(move || {
        let outcome = work();
        HANGS_IN.store(0, Ordering::Relaxed);
        outcome
    });
    let outcome = tokio::time::timeout(ANSWERS_WITHIN, working).await;
    if outcome.is_err() && HANGS_IN.swap(this, Ordering::Relaxed) != this {
        let limit = ANSWERS_WITHIN.as_secs();
        logged::<()>(Err(format!("{VARIABLE} does not answer within {limit} s; tokens are not shared until it does")));
    }
    outcome.ok()?.ok()
}

/// One credential's and scope's file.
#[derive(Clone)]
struct Entry {
    file: PathBuf,
    name: String,
    key: hmac::Key,
}

enum Turn {
    Token(FetchedToken),
    /// With the lock, unless another process has held it for too long.
    Fetch(Option<FetchLock>),
    /// Another process fetches one.
    Wait,
}

impl Entry {
    async fn find(folder: PathBuf, source: &dyn TokenSource, scope: &str) -> Option<Self> {
        let looked_at = folder.clone();
        let key = logged(aside(move || check_folder(&looked_at).and_then(|()| key(&looked_at))).await?)?;
        Some(Self::new(&folder, key, source, scope))
    }

    fn new(folder: &Path, key: hmac::Key, source: &dyn TokenSource, scope: &str) -> Self {
        let mut name = Keyed(hmac::Context::with_key(&key));
        name.write(FORMAT);
        name.write_field(scope.as_bytes());
        name.write_field(source.name().as_bytes());
        for (variable, value) in environment() {
            name.write_field(variable.as_bytes());
            name.write_field(value.as_bytes());
        }
        source.fingerprint(&mut name);
        let name = hex(name.0.sign().as_ref());
        Self { file: folder.join(&name), name, key }
    }

    async fn fetch(
        &self,
        source: &dyn TokenSource,
        scope: &str,
        known: Option<&Secret>,
        deadline: Instant,
    ) -> Result<FetchedToken, Error> {
        let lock = match self.turn(known, deadline).await {
            Turn::Token(token) => return Ok(token),
            Turn::Fetch(lock) => lock,
            Turn::Wait => None,
        };
        let fetched = source.fetch(scope, deadline).await;
        let entry = self.clone();
        match fetched {
            Ok(token) => {
                let copy = source.is_shareable().then(|| token.clone());
                aside(move || {
                    copy.and_then(|token| logged(entry.write(&token)));
                    drop(lock);
                })
                .await;
                Ok(token)
            }
            // One that should be renewed, and was not, is still good.
            Err(error) => {
                let known = known.cloned();
                let found = aside(move || {
                    let found = entry.read(known.as_ref(), |life, clock| life.is_usable(clock.now()));
                    drop(lock);
                    found
                });
                found.await.flatten().ok_or(error)
            }
        }
    }

    /// A fresh token of another process's, now or soon; or the turn to fetch one.
    async fn turn(&self, known: Option<&Secret>, deadline: Instant) -> Turn {
        let give_up_at = deadline.min(Instant::now() + WAIT_LIMIT);
        loop {
            let (entry, known) = (self.clone(), known.cloned());
            match aside(move || entry.look(known.as_ref())).await.unwrap_or(Turn::Fetch(None)) {
                Turn::Wait if Instant::now() < give_up_at => tokio::time::sleep(LOOK_EVERY).await,
                turn => return turn,
            }
        }
    }

    fn look(&self, known: Option<&Secret>) -> Turn {
        let is_fresh = |life: &Lifetime, clock: &dyn Clock| {
            policy::decide(life, &Retry::default(), clock.now(), policy::spread()) == Decision::Use
        };
        if let Some(token) = self.read(known, is_fresh) {
            return Turn::Token(token);
        }
        match FetchLock::acquire(&self.file) {
            // Whoever held it may have written and gone since we looked.
            Ok(lock) => self.read(known, is_fresh).map_or(Turn::Fetch(Some(lock)), Turn::Token),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Turn::Wait,
            Err(_) => Turn::Fetch(None),
        }
    }

    /// The token in the file, if there is another one than `known` and it is as good as `wanted`.
    fn read(&self, known: Option<&Secret>, wanted: impl Fn(&Lifetime, &dyn Clock) -> bool) -> Option<FetchedToken> {
        let (token, obtained_on) = match read_private(&self.file, LARGEST_ENTRY) {
            Ok(bytes) => logged(self.opened(&bytes))?,
            Err(Unreadable::Absent) => return None,
            Err(Unreadable::Refused(reason)) => return logged(Err(reason)),
        };
        let clock = SystemClock;
        let age = clock.wall().duration_since(obtained_on).unwrap_or_default();
        let life = Lifetime::started(&clock, age, token.expires_at, token.refresh_at)?;
        let another = known.is_none_or(|known| *known != token.secret);
        (another && wanted(&life, &clock)).then_some(token)
    }

    fn opened(&self, bytes: &[u8]) -> Result<(FetchedToken, SystemTime), String> {
        let changed = || format!("{} is damaged or was changed; a new token replaces it", self.file.display());
        let split = bytes.len().checked_sub(hmac::HMAC_SHA256.digest_algorithm().output_len()).ok_or_else(changed)?;
        let (text, tag) = bytes.split_at(split);
        hmac::verify(&self.key, &self.signed(text), tag).map_err(|_| changed())?;
        let entry: Value = serde_json::from_slice(text).map_err(|_| changed())?;
        let date = |name| Some(UNIX_EPOCH + Duration::from_secs(entry.get(name)?.as_u64()?));
        let token = entry.get("token").and_then(Value::as_str).map(Secret::from).ok_or_else(changed)?;
        let token = FetchedToken {
            secret: token,
            expires_at: date("expires_on").ok_or_else(changed)?,
            refresh_at: date("refresh_on"),
            from_shared_cache: true,
        };
        Ok((token, date("obtained_on").ok_or_else(changed)?))
    }

    /// Puts a token in the file, unless one that lives longer is there already.
    fn write(&self, token: &FetchedToken) -> Result<(), String> {
        let seconds = |date: SystemTime| date.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = json!({
            "token": token.secret.expose(),
            "expires_on": seconds(token.expires_at),
            "refresh_on": token.refresh_at.map(seconds),
            "obtained_on": seconds(SystemTime::now()),
        })
        .to_string();
        let mut bytes = zeroize::Zeroizing::new(text.into_bytes());
        let tag = hmac::sign(&self.key, &self.signed(&bytes));
        bytes.extend_from_slice(tag.as_ref());
        let fresh = nobody_elses(&self.file);
        let replaced = (|| {
            private_file::options().write(true).create_new(true).open(&fresh)?.write_all(&bytes)?;
            let lock = private_file::options().write(true).create(true).open(self.file.with_extension("lock"))?;
            // Not waited for: a process that was stopped may hold it, and not every file system has locks. Without it, one
            // that lives longer might be replaced.
            let locked = lock.try_lock().is_ok();
            let lives_longer = |life: &Lifetime, _: &dyn Clock| life.expires_on > token.expires_at;
            let outcome = if self.read(None, lives_longer).is_some() {
                fs::remove_file(&fresh)
            } else {
                fs::rename(&fresh, &self.file)
            };
            if locked {
                // Closing it would not do: a child that was forked meanwhile has it open, too.
                lock.unlock()?;
            }
            outcome
        })();
        replaced.map_err(|error: io::Error| {
            let _ = fs::remove_file(&fresh); // it may not have come to be
            format!("could not write {}: {error}", self.file.display())
        })
    }

    /// What the tag of an entry is made of: its name, so that no file passes for another, and its text.
    fn signed(&self, text: &[u8]) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::new([self.name.as_bytes(), b"\0", text].concat())
    }
}

/// A file that tells other processes that this one fetches a token.
struct FetchLock(PathBuf);

impl FetchLock {
    fn acquire(entry: &Path) -> io::Result<Self> {
        let path = entry.with_extension("fetching");
        let created = private_file::options().write(true).create_new(true).open(&path);
        if let Err(error) = &created
            && error.kind() == io::ErrorKind::AlreadyExists
            && age(&path).is_some_and(|age| age > FETCH_LIMIT)
        {
            // Its process died; the process that removes it may be the next to create one.
            let _ = fs::remove_file(&path);
        }
        created.map(|_| Self(path))
    }
}

impl Drop for FetchLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // removed as stale by another process
    }
}

fn age(path: &Path) -> Option<Duration> {
    fs::symlink_metadata(path).ok()?.modified().ok()?.elapsed().ok()
}

/// A hasher whose outcome depends on a key.
struct Keyed(hmac::Context);

impl Keyed {
    /// With its length, so that two fields never look like two others.
    fn write_field(&mut self, bytes: &[u8]) {
        self.write(&(bytes.len() as u64).to_le_bytes());
        self.write(bytes);
    }
}

impl Hasher for Keyed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// What credentials read of the environment, sorted.
fn environment() -> Vec<(String, String)> {
    let mut settings: Vec<_> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| ["AZURE_", "IDENTITY_", "IMDS_", "MSI_"].iter().any(|prefix| name.starts_with(prefix)))
        .filter(|(name, _)| name != VARIABLE)
        .collect();
    settings.sort_unstable();
    settings
}

/// Makes the folder if it is not there.
fn check_folder(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    if !folder.is_absolute() {
        return Err(format!("{VARIABLE}={shown} is no absolute path; tokens are not shared"));
    }
    private_file::create_folder(folder)
        .map_err(|error| format!("could not make {VARIABLE}={shown}: {error}; tokens are not shared"))?;
    private_file::check_folder(folder).map_err(|reason| format!("{VARIABLE}={shown} {reason}; tokens are not shared"))
}

enum Unreadable {
    Absent,
    Refused(String),
}

/// The content of a file that nobody else can have written or read.
fn read_private(path: &Path, at_most: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, Unreadable> {
    let refused = |reason: String| Unreadable::Refused(format!("{} {reason}; it is not used", path.display()));
    let file = match private_file::options().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unreadable::Absent),
        Err(error) => return Err(refused(format!("could not be opened ({error})"))),
    };
    let metadata = file.metadata().map_err(|error| refused(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > at_most {
        return Err(refused("is no file of ours".to_owned()));
    }
    private_file::check_file(&file).map_err(refused)?;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    File::take(file, at_most).read_to_end(&mut bytes).map_err(|error| refused(error.to_string()))?;
    Ok(bytes)
}

/// Where to write what shall be `path`: no other thread or process writes there.
fn nobody_elses(path: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{count}.new", std::process::id()))
}

/// The folder's key, made by the first who comes.
fn key(folder: &Path) -> Result<hmac::Key, String> {
    const LENGTH: usize = 32;
    let path = folder.join("key");
    loop {
        match read_private(&path, LENGTH as u64) {
            Ok(bytes) if bytes.len() == LENGTH => return Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
            Ok(_) => return Err(format!("{} is damaged; remove it", path.display())),
            Err(Unreadable::Refused(reason)) => return Err(reason),
            Err(Unreadable::Absent) => {}
        }
        let mut bytes = zeroize::Zeroizing::new([0; LENGTH]);
        ring::rand::SystemRandom::new().fill(&mut *bytes).map_err(|_| "no random numbers".to_owned())?;
        let fresh = nobody_elses(&path);
        let made = (|| {
            private_file::options().write(true).create_new(true).open(&fresh)?.write_all(&*bytes)?;
            // Unlike a rename, this does not replace the key of somebody who was faster.
            match fs::hard_link(&fresh, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                outcome => outcome,
            }
        })();
        let _ = fs::remove_file(&fresh);
        made.map_err(|error: io::Error| format!("could not write {}: {error}", path.display()))?;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use async_trait::async_trait;

    use super::*;

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

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("azure-postgresql-auth-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder); // of a process that had our id
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn entry(folder: &Folder, source: &Counting, scope: &str) -> Result<Entry, String> {
        check_folder(&folder.0)?;
        Ok(Entry::new(&folder.0, key(&folder.0)?, source, scope))
    }

    #[test]
    fn whoever_comes_while_another_ends_does_not_ask_again() {
        const PROCESSES: usize = 4;
        const ROUNDS: u32 = 200;
        let (folder, source, start) = (Folder::new("turns"), Counting::default(), Barrier::new(PROCESSES));
        let process = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let entries = (0..ROUNDS).map(|round| entry(&folder, &source, &round.to_string()).unwrap());
            for entry in entries.collect::<Vec<_>>() {
                start.wait();
                let deadline = Instant::now() + FETCH_LIMIT;
                runtime.block_on(entry.fetch(&source, "scope", None, deadline)).unwrap();
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
    fn those_who_make_the_folder_together_have_one_key() {
        const THREADS: usize = 4;
        for round in 0..50 {
            let (folder, start) = (Folder::new(&format!("key{round}")), Barrier::new(THREADS));
            let name = || {
                start.wait();
                entry(&folder, &Counting::default(), "scope").map(|entry| entry.name)
            };
            let names = std::thread::scope(|scope| {
                [(); THREADS].map(|()| scope.spawn(name)).map(|thread| thread.join().unwrap())
            });
            let first = names[0].clone().unwrap();
            assert!(names.iter().all(|name| name.as_ref() == Ok(&first)), "{names:?}");
        }
    }
}
