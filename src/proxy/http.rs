//! The HTTP endpoint for probes and Prometheus.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::select;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::{Shared, arrivals::Arrivals, metrics};

/// The time for a request and its answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The number of connections at once; beyond it, the oldest is closed.
const MAX_CONNECTIONS: usize = 32;
const MAX_REQUEST: usize = 8 * 1024;

/// Answers requests until the task is dropped.
pub async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let connections = Arc::new(Arrivals::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (shared, connections) = (Arc::clone(&shared), Arc::clone(&connections));
        tokio::spawn(async move {
            let mut connection = connections.add();
            let answering = timeout(TIMEOUT, answer(&shared, stream));
            select(pin!(answering), pin!(connection.displaced())).await;
        });
    }
}

async fn answer(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if request.len() > MAX_REQUEST || stream.read_buf(&mut request).await? == 0 {
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
