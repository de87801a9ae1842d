//! What happens all the time: renews the token, passes on the engine's log, and keeps the health file.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Shared;
use crate::{
    credential,
    login::LoginRequest,
    platform::log_buffer::{self, Level},
};

/// How often the token and the log are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long to wait after a failed request for a token. Clients make requests of their own.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// The greatest age of the health file.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Runs until it is dropped.
pub async fn watch(shared: Arc<Shared>, health_file: Option<PathBuf>) {
    for scope in shared.scopes() {
        tokio::spawn(keep_token(Arc::clone(&shared), scope));
    }
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written: Option<(bool, Instant)> = None;
    loop {
        tick.tick().await;
        write_log_records(&shared);
        let Some(path) = &health_file else { continue };
        let ready = shared.problem().is_none();
        if written.is_some_and(|(was, at)| was == ready && (!ready || at.elapsed() < HEARTBEAT)) {
            continue;
        }
        written = Some((ready, Instant::now()));
        if let Err(error) = write_health(path, ready) {
            let fields = [("file", path.display().to_string().into()), ("message", error.to_string().into())];
            shared.log.event(Level::Warning, "health_file", &fields);
        }
    }
}

/// Passes the engine's log entries on to the proxy's log.
pub fn write_log_records(shared: &Shared) {
    if log_buffer::is_waiting() {
        for entry in log_buffer::take() {
            shared.log.engine(&entry);
        }
    }
}

fn write_health(path: &Path, ready: bool) -> io::Result<()> {
    if !ready {
        return remove(path);
    }
    // A new file takes the name, so that a link that another user may have put there is replaced, not followed.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = Path::new(&fresh);
    remove(fresh)?;
    let written = fs::File::create_new(fresh)
        .and_then(|mut file| file.write_all(b"ready\n"))
        .and_then(|()| fs::rename(fresh, path));
    // On a full disk it is empty.
    written.inspect_err(|_| drop(remove(fresh)))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Requests a token before the first client needs it, and renews it ahead of its expiry even without clients.
async fn keep_token(shared: Arc<Shared>, scope: Arc<str>) {
    let identity = &shared.identity;
    loop {
        if let Some((_, fetch)) = identity.logins.cached(&scope, true) {
            if let Some(fetch) = fetch {
                credential::start(fetch, Arc::clone(&identity.source));
            }
            sleep(EVERY).await;
            continue;
        }
        let request =
            LoginRequest { scope: Arc::clone(&scope), user_known: true, instead_of: None, deadline: Arc::default() };
        let login = identity.login(request, Instant::now() + shared.limits.login).await;
        let error = login.as_ref().err().map(ToString::to_string);
        *shared.token_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
        if login.is_err() {
            sleep(TRY_AGAIN).await;
        }
    }
}
