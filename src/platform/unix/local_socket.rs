//! Sockets for processes of this machine.

pub use std::os::unix::net::{UnixListener as Listener, UnixStream as Stream};
pub use tokio::net::{UnixListener as AsyncListener, UnixStream as AsyncStream};

/// Where it listens, for people.
#[must_use]
pub fn place(listener: &Listener) -> String {
    let address = listener.local_addr().ok();
    let path = address.as_ref().and_then(|address| address.as_pathname());
    path.map(|path| path.display().to_string()).unwrap_or_default()
}
