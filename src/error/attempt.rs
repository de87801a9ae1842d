//! The outcome of asking one credential for a token.

use std::{borrow::Cow, fmt, time::Duration};

use super::{
    entra_errors::{self, EntraError},
    seconds,
};

/// How a credential answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is not set up here.
    Unavailable,
    /// It is set up, and something has to be done before it can be used: sign in, or assign an identity.
    NotReady,
    /// Its settings are invalid.
    Misconfigured,
    /// Its service did not answer.
    NoAnswer,
    /// Its service answered, and not with a token.
    Refused,
    /// Its service has too many requests to answer.
    Throttled,
    /// It gave a token.
    Succeeded,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Unavailable,
        Self::NotReady,
        Self::Misconfigured,
        Self::NoAnswer,
        Self::Refused,
        Self::Throttled,
        Self::Succeeded,
    ];

    /// The name for programs, which does not change.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::NotReady => "not_ready",
            Self::Misconfigured => "misconfigured",
            Self::NoAnswer => "no_answer",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Succeeded => "succeeded",
        }
    }

    /// What it means, for the documentation.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Unavailable => "It is not set up here; a chain asks the next one.",
            Self::NotReady => "It is set up, and something has to be done before it can be used, such as signing in.",
            Self::Misconfigured => "One of its settings is invalid.",
            Self::NoAnswer => {
                "Its service could not be reached, did not answer in time, or failed itself (HTTP 500 and above)."
            }
            Self::Refused => "Its service answered, and not with a token.",
            Self::Throttled => "Its service is throttling requests.",
            Self::Succeeded => "It gave a token.",
        }
    }
}

/// One credential that was asked, and its answer.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its public name.
    pub credential: &'static str,
    /// How it answered.
    pub status: Status,
    /// What happened: the service's own words where there are some, or what was looked for and not found.
    pub reason: String,
    /// What is known of the refusal, where it is Entra ID's.
    known: Option<&'static EntraError>,
    /// What to do about it.
    pub remedy: Option<Cow<'static, str>>,
    /// The number of Entra ID's own code for it.
    entra_code: Option<u32>,
    /// How long the service asks not to be asked again, where it states that (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// How long it took; `None` where it was not measured.
    pub elapsed: Option<Duration>,
    /// A chain goes on to its next link whatever the status is.
    is_optional: bool,
}

impl Attempt {
    /// An attempt that failed.
    #[must_use]
    pub fn new(credential: &'static str, status: Status, reason: impl Into<String>) -> Self {
        Self {
            credential,
            status,
            reason: reason.into(),
            known: None,
            remedy: None,
            entra_code: None,
            retry_after: None,
            elapsed: None,
            is_optional: false,
        }
    }

    /// An attempt that ended with a token.
    #[must_use]
    pub fn succeeded(credential: &'static str) -> Self {
        Self::new(credential, Status::Succeeded, "")
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// The same under the name of the credential that the caller knows.
    #[must_use]
    pub fn of_credential(self, name: &'static str) -> Self {
        Self { credential: name, ..self }.with_known_remedy()
    }

    fn with_known_remedy(self) -> Self {
        match self.known {
            Some(known) => {
                let remedy = known.remedy_for(self.credential);
                self.with_remedy(remedy)
            }
            None => self,
        }
    }

    /// The same with how long it took.
    #[must_use]
    pub fn taking(self, elapsed: Duration) -> Self {
        Self { elapsed: Some(elapsed), ..self }
    }

    /// The same where a chain goes on whatever the status is: a developer's tool that fails is a tool that is not there.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    /// Adds what is known of Entra ID's code in `words`, its own description of a refusal.
    #[must_use]
    pub fn with_entra_words(self, words: &str) -> Self {
        let Some(code) = entra_errors::code(words) else { return self };
        let known = entra_errors::find(code);
        let status = match self.status {
            // There are codes for these, too.
            Status::Throttled | Status::NoAnswer => self.status,
            _ => Status::Refused,
        };
        Self { status, entra_code: Some(code), known, ..self }.with_known_remedy()
    }

    /// What happened in one sentence, for a reader who sees the rest elsewhere.
    #[must_use]
    pub fn summary(&self) -> &str {
        if self.entra_code.is_some() { entra_errors::first_sentence(&self.reason) } else { &self.reason }
    }

    /// The service's own code, such as `AADSTS7000215`.
    #[must_use]
    pub fn service_code(&self) -> Option<String> {
        self.entra_code.map(|code| format!("{}{code}", entra_errors::PREFIX))
    }

    /// Whether a chain asks its next link after this.
    #[must_use]
    pub fn lets_chain_continue(&self) -> bool {
        self.is_optional || matches!(self.status, Status::Unavailable | Status::NotReady)
    }
}

/// For people: the credential, what happened, and what to do.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.credential, self.reason)?;
        if self.status == Status::Throttled {
            f.write_str("; the service is throttling requests")?;
            if let Some(wait) = self.retry_after {
                return write!(f, "; retry after {} s", seconds(wait));
            }
        }
        let remedy = self.remedy.as_deref();
        match (self.known.map(|known| known.meaning), remedy) {
            (Some(meaning), Some(remedy)) => write!(f, ". {meaning}: {remedy}."),
            (Some(meaning), None) => write!(f, ". {meaning}."),
            (None, Some(remedy)) => write!(f, "; {remedy}"),
            (None, None) => Ok(()),
        }
    }
}
