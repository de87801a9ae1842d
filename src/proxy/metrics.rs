//! Metrics in Prometheus' format.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::Shared;

/// The metrics of a server. All but `open` only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Client connections that are open.
    pub open: AtomicU64,
    /// Client connections so far.
    pub connections: AtomicU64,
    /// Logins that the server accepted.
    pub logins: AtomicU64,
    /// Microseconds that they took, from the client's startup message on.
    pub login_micros: AtomicU64,
    /// Client connections that did not become a session, by reason.
    pub failures: [AtomicU64; Reason::ALL.len()],
    /// Logins that were tried again with a new token.
    pub retries: AtomicU64,
    /// Cancel requests passed on.
    pub cancels: AtomicU64,
    /// Bytes from clients to the server.
    pub bytes_up: AtomicU64,
    /// Bytes from the server to clients.
    pub bytes_down: AtomicU64,
}

/// Why a client did not get a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It went away, or did not say who it is in time.
    Client,
    /// It violated the protocol, or asked for something that is not allowed.
    Refused,
    /// It did not know the password.
    Password,
    /// There were too many clients.
    Limit,
    /// There was no token.
    Token,
    /// The server could not be reached or verified.
    Server,
    /// The server refused the login.
    Login,
}

impl Reason {
    const ALL: [Self; 7] =
        [Self::Client, Self::Refused, Self::Password, Self::Limit, Self::Token, Self::Server, Self::Login];

    /// Return the value of the label `reason`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Refused => "refused",
            Self::Password => "password",
            Self::Limit => "limit",
            Self::Token => "token",
            Self::Server => "server",
            Self::Login => "login",
        }
    }
}

impl Counters {
    /// Counts a client that did not get a session.
    pub fn failed(&self, reason: Reason) {
        self.failures[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a login.
    pub fn logged_in(&self, took: Duration) {
        self.logins.fetch_add(1, Ordering::Relaxed);
        self.login_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, number: u64) {
    if number > 0 {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}

type Value = fn(&Counters) -> &AtomicU64;

const PREFIX: &str = "azure_postgresql_auth_proxy";

/// Return all metrics in Prometheus' text format, version 0.0.4.
#[must_use]
pub fn render(shared: &Shared) -> String {
    let mut text = String::new();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let simple: [(&str, &str, &str, Value); 7] = [
        ("connections_open", "gauge", "Client connections that are open.", |counters| &counters.open),
        ("connections_total", "counter", "Client connections opened.", |counters| &counters.connections),
        ("logins_total", "counter", "Logins that the server accepted.", |counters| &counters.logins),
        ("login_retries_total", "counter", "Logins tried again with a new token.", |counters| &counters.retries),
        ("cancels_total", "counter", "Cancel requests passed on.", |counters| &counters.cancels),
        ("client_bytes_total", "counter", "Bytes from clients to the server.", |counters| &counters.bytes_up),
        ("server_bytes_total", "counter", "Bytes from the server to clients.", |counters| &counters.bytes_down),
    ];
    for (name, kind, help, value) in simple {
        head(&mut text, name, kind, help);
        for server in &shared.servers {
            let _ =
                writeln!(text, "{PREFIX}_{name}{{server={}}} {}", label(&server.name), read(value(&server.counters)));
        }
    }
    head(&mut text, "login_seconds", "summary", "Time from a client's startup message to the server's acceptance.");
    for server in &shared.servers {
        let counters = &server.counters;
        let seconds = Duration::from_micros(read(&counters.login_micros)).as_secs_f64();
        let name = label(&server.name);
        let _ = writeln!(text, "{PREFIX}_login_seconds_sum{{server={name}}} {seconds}");
        let _ = writeln!(text, "{PREFIX}_login_seconds_count{{server={name}}} {}", read(&counters.logins));
    }
    head(&mut text, "login_failures_total", "counter", "Client connections that did not lead to a login.");
    for server in &shared.servers {
        for (reason, count) in Reason::ALL.iter().zip(&server.counters.failures) {
            let (name, reason, count) = (label(&server.name), reason.name(), read(count));
            let _ = writeln!(text, "{PREFIX}_login_failures_total{{server={name},reason=\"{reason}\"}} {count}");
        }
    }
    let tokens = &shared.identity.logins.tokens;
    let stats = tokens.stats.snapshot();
    for (name, help, value) in [
        ("token_requests_total", "Requests for a token.", stats.requests),
        ("token_failures_total", "Requests for a token that failed.", stats.failures),
        ("token_refusals_total", "Tokens that a server refused before they expired.", stats.refusals),
    ] {
        head(&mut text, name, "counter", help);
        let _ = writeln!(text, "{PREFIX}_{name} {value}");
    }
    head(&mut text, "token_expiry_timestamp_seconds", "gauge", "When the token expires, in seconds since 1970.");
    for (scope, date) in tokens.expiries() {
        let _ = writeln!(text, "{PREFIX}_token_expiry_timestamp_seconds{{scope={}}} {}", label(&scope), seconds(date));
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {PREFIX}_{name} {help}\n# TYPE {PREFIX}_{name} {kind}");
}

fn seconds(date: SystemTime) -> u64 {
    date.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn label(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
