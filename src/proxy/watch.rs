//! What looks after the whole: keeps the token fresh, writes the log of the engine, tells of its health.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{Shared, metrics};
use crate::{
    credential,
    login::LoginRequest,
    platform::log_buffer::{self, Level},
};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// How often it asks for a token while there is none; clients ask beside it.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// How old the health file may become.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Looks after everything until it is dropped.
pub async fn watch(shared: Arc<Shared>) {
    for scope in shared.scopes() {
        tokio::spawn(keep_token(Arc::clone(&shared), scope));
    }
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written: Option<(bool, Instant)> = None;
    loop {
        tick.tick().await;
        write_log_records(&shared);
        let Some(path) = &shared.health_file else { continue };
        let ready = shared.problem().is_none();
        if written.is_some_and(|(was, at)| was == ready && (!ready || at.elapsed() < HEARTBEAT)) {
            continue;
        }
        written = Some((ready, Instant::now()));
        if let Err(error) = write_health(path, ready) {
            let facts = [("file", path.display().to_string().into()), ("message", error.to_string().into())];
            shared.log.event(Level::Warning, "health_file", &facts);
        }
    }
}

/// Writes down what the engine has told.
pub fn write_log_records(shared: &Shared) {
    if log_buffer::is_waiting() {
        for entry in log_buffer::take() {
            shared.log.engine(&entry);
        }
    }
}

fn write_health(path: &Path, ready: bool) -> std::io::Result<()> {
    if ready {
        // A file of its own takes the name: what another user puts there, a link to a file of this user, is replaced.
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        remove(Path::new(&fresh))?;
        fs::File::create_new(&fresh)?.write_all(b"ready\n")?;
        return fs::rename(&fresh, path);
    }
    remove(path)
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Has a token before the first client needs it, and renews it ahead of its expiry whether or not there are any.
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
        let found = identity.login(request, Instant::now() + shared.limits.login).await;
        let why = found.as_ref().err().map(ToString::to_string);
        *shared.no_token.lock().unwrap_or_else(PoisonError::into_inner) = why;
        if found.is_err() {
            sleep(TRY_AGAIN).await;
        }
    }
}

const HTTP_LIMIT: Duration = Duration::from_secs(5);
const LONGEST_REQUEST: usize = 8 * 1024;

/// Answers probes and Prometheus.
pub async fn serve_http(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { drop(timeout(HTTP_LIMIT, answer(&shared, stream)).await) });
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if request.len() > LONGEST_REQUEST || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/livez") => ("200 OK", "alive\n".to_owned()),
        ("GET" | "HEAD", "/readyz") => match shared.problem() {
            None => ("200 OK", "ready\n".to_owned()),
            Some(problem) => ("503 Service Unavailable", format!("{problem}\n")),
        },
        ("GET" | "HEAD", "/metrics") => ("200 OK", metrics::render(shared)),
        ("GET" | "HEAD", _) => ("404 Not Found", "/livez, /readyz and /metrics are here\n".to_owned()),
        _ => ("405 Method Not Allowed", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}
