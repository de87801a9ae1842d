//! Why a client does not get its connection, in the words that it hears.

use std::io;

use super::{metrics::Reason, wire};

/// An end before the relay.
#[derive(Debug)]
pub enum Failure {
    /// The client went away or broke the connection: nobody is there to hear why.
    Gone(io::Error),
    /// The client hears it from us.
    Fatal {
        /// What kind it is, for figures.
        reason: Reason,
        /// `PostgreSQL`'s code.
        sqlstate: &'static str,
        /// What happened, why, and what to do.
        text: String,
    },
    /// The server's own messages, which the client hears word for word.
    Server {
        /// The messages.
        messages: Vec<u8>,
        /// Code and text of the error among them.
        text: String,
    },
}

/// `sqlclient_unable_to_establish_sqlconnection`: what pools and drivers try again after.
pub const UNREACHABLE: &str = "08001";

impl Failure {
    /// An end that the client hears of from us.
    #[must_use]
    pub fn fatal(reason: Reason, sqlstate: &'static str, text: impl Into<String>) -> Self {
        Self::Fatal { reason, sqlstate, text: text.into() }
    }

    /// For figures.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Gone(_) => Reason::Client,
            Self::Fatal { reason, .. } => *reason,
            Self::Server { .. } => Reason::Login,
        }
    }

    /// For the log.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Gone(error) => error.to_string(),
            Self::Fatal { text, .. } | Self::Server { text, .. } => text.clone(),
        }
    }

    /// What the client is sent.
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
    /// A client's side; the server's is put into words where it happens.
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}
