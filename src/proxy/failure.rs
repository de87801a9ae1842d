//! Why a client does not get a session.

use std::io;

use super::{metrics::Reason, wire};

/// The reason why a client does not get a session.
#[derive(Debug)]
pub enum Failure {
    /// The client went away, so there is nobody to tell.
    Gone(io::Error),
    /// The proxy tells the client.
    Fatal {
        /// Its kind, for metrics.
        reason: Reason,
        /// `PostgreSQL`'s code.
        sqlstate: &'static str,
        /// What happened, why, and what to do.
        text: String,
    },
    /// The server's own messages are passed on unchanged.
    Server {
        /// The messages.
        messages: Vec<u8>,
        /// The code and text of the error among them.
        text: String,
    },
}

/// `sqlclient_unable_to_establish_sqlconnection`, after which pools and drivers try again.
pub const UNREACHABLE: &str = "08001";

/// `invalid_password`: for a token, the server's answer if the role is not its identity's.
const NO_SUCH_ROLE: &str = "28P01";

impl Failure {
    /// Return a failure that the proxy tells the client about.
    #[must_use]
    pub fn fatal(reason: Reason, sqlstate: &'static str, text: impl Into<String>) -> Self {
        Self::Fatal { reason, sqlstate, text: text.into() }
    }

    /// Return the kind of failure, for metrics.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Gone(_) => Reason::Client,
            Self::Fatal { reason, .. } => *reason,
            Self::Server { .. } => Reason::Login,
        }
    }

    /// Return the text for the log.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Gone(error) => error.to_string(),
            Self::Fatal { text, .. } | Self::Server { text, .. } => text.clone(),
        }
    }

    /// Return what to do about it, for the log, where neither the server nor the proxy has told the client.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Server { text, .. } if text.starts_with(NO_SUCH_ROLE) => Some(
                "the server has no role of this name for the proxy's identity. A client on libpq that is given no user names the \
                 operating system's: give it the role as user=, or pin that with --user",
            ),
            _ => None,
        }
    }

    /// Return the messages for the client.
    #[must_use]
    pub fn messages(&self) -> Vec<u8> {
        match self {
            Self::Gone(_) => Vec::new(),
            Self::Fatal { sqlstate, text, .. } => {
                wire::fatal(sqlstate, &format!("azure-postgresql-auth proxy: {text}"))
            }
            Self::Server { messages, .. } => messages.clone(),
        }
    }
}

impl From<io::Error> for Failure {
    /// An error of the client's connection. Those of the server's are described where they happen.
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}
