//! Answers that an input of the fuzzer scripts, instead of a network's.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use azure_core::{
    Error,
    error::ErrorKind,
    http::{
        AsyncRawResponse, Body, HttpClient, Request, StatusCode,
        headers::{HeaderName, Headers},
    },
};

tokio::task_local! {
    /// Answers the requests of a task.
    pub static SCRIPT: Arc<dyn HttpClient>;
}

/// Answers in the order of an input, and remembers what was asked.
#[derive(Debug, Default)]
pub struct Script(Mutex<State>);

#[derive(Default)]
struct State {
    answers: VecDeque<String>,
    requests: Vec<String>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl Script {
    /// Read answers with a line `%%` between them: a status or `refused` or `reset`, header lines, an empty line, the body.
    pub fn new(text: &str) -> Self {
        Self(Mutex::new(State { answers: text.split("\n%%\n").map(str::to_owned).collect(), requests: Vec::new() }))
    }

    /// What was sent: the URL, the headers, and the body.
    pub fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }
}

#[async_trait]
impl HttpClient for Script {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let headers = request.headers().iter().map(|(name, value)| format!("{}: {}", name.as_str(), value.as_str()));
        let headers = headers.collect::<Vec<_>>().join("\n");
        let Body::Bytes(body) = request.body() else { unreachable!("no credential sends a stream") };
        let sent = format!("{}\n{headers}\n\n{}", request.url(), String::from_utf8_lossy(body));
        let answer = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.requests.push(sent);
            // The last one is repeated.
            let repeated = (state.answers.len() == 1).then(|| state.answers[0].clone());
            repeated.or_else(|| state.answers.pop_front()).unwrap_or_default()
        };
        read(&answer)
    }
}

fn read(answer: &str) -> azure_core::Result<AsyncRawResponse> {
    let (head, body) = answer.split_once("\n\n").unwrap_or((answer, ""));
    let mut lines = head.lines();
    let status = match lines.next().unwrap_or_default() {
        "refused" => {
            let error = io::Error::from(io::ErrorKind::ConnectionRefused);
            return Err(Error::with_error(ErrorKind::Connection, error, "failed to execute `reqwest` request"));
        }
        "reset" => {
            let error = io::Error::from(io::ErrorKind::ConnectionReset);
            return Err(Error::with_error(ErrorKind::Io, error, "failed to execute `reqwest` request"));
        }
        status => status.parse::<u16>().ok().filter(|status| (100..1000).contains(status)).unwrap_or(500),
    };
    let mut headers = Headers::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        // Other values are no text to the HTTP client.
        if is_name && value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            headers.insert(HeaderName::from(name.to_ascii_lowercase()), value.to_owned());
        }
    }
    Ok(AsyncRawResponse::from_bytes(StatusCode::from(status), headers, body.to_owned()))
}
