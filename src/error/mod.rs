//! What can go wrong on the way to a login, as data.
//!
//! An [`Error`] is made where the failure is seen. Programs get its [`Report`], people its text, which is made of the same
//! parts in `report` alone; no code reads these texts.

mod attempt;
mod code;
pub mod entra_errors;
mod report;

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use attempt::{Attempt, Status};
pub use code::{CODES, Code};
pub use report::Report;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Why there is no login. Cheap to clone: everybody who waited for the same fetch gets it.
#[derive(Debug, Clone)]
pub enum Error {
    /// A credential gave no token.
    Credential(Attempt),
    /// The token has expired, and attempts to renew it have failed for some time.
    RenewalFails {
        /// When its life ended.
        expired_on: SystemTime,
        /// When the first attempt failed.
        since: SystemTime,
        /// How many there were.
        attempts: u32,
        /// What became of the last one.
        cause: Arc<Error>,
    },
    /// No link of a chain gave a token; holds each link that was asked, in order.
    ChainExhausted(Arc<[Attempt]>),
    /// The connection could send its token in the clear, so none was requested.
    InsecureTransport {
        /// The setting that allows it, by libpq's name.
        setting: &'static str,
        /// Its value as given.
        value: String,
        /// The first host that it would have gone to.
        host: String,
    },
    /// The credential gave a token that had already expired.
    ExpiredOnArrival,
    /// The credential gave a token of no length.
    EmptyToken,
    /// The server refused a token just after another one: there is none that it would take.
    NoOther,
    /// A token is no JWT; says at which step reading it failed, never what it holds.
    MalformedToken(String),
    /// The token holds no claim that names a user; lists the claims there were.
    NoPrincipalName {
        /// Names of the claims in the database token, sorted.
        claims: Vec<String>,
    },
    /// The token is a guest's and names its home account, which is not the role's name.
    GuestName {
        /// That account.
        account: String,
        /// The form of the role's name.
        role: String,
    },
    /// The token names no user, and one for the management scope could not be obtained either.
    ManagementScope(Arc<Error>),
    /// The caller's timeout ended before the identity service gave a token.
    TimedOut {
        /// How long that was.
        after: Duration,
        /// The outcome of the requests so far, if there were any.
        progress: Option<String>,
        /// If there was a token: when it expired, and since when it could not be renewed.
        expired: Option<(SystemTime, SystemTime)>,
        /// The outcome of the previous attempt.
        last: Option<LastFailure>,
    },
    /// A Python credential object raised an exception; only `py` looks into `cause`.
    External {
        /// The exception as text.
        message: String,
        /// The exception itself.
        cause: Arc<dyn Any + Send + Sync>,
    },
    /// An argument or a variable is invalid.
    InvalidArgument(String),
    /// The hosts take tokens of different scopes.
    AmbiguousScope,
    /// The fetch ended without an answer (a panic, or a thread that could not start).
    Abandoned(String),
}

/// What an attempt failed with, without the exceptions of Python that an error may hold.
#[derive(Debug, Clone)]
pub struct LastFailure {
    /// Its text.
    pub text: String,
    /// The credentials that were asked.
    pub attempts: Arc<[Attempt]>,
}

impl From<&Error> for LastFailure {
    fn from(error: &Error) -> Self {
        Self { text: error.to_string(), attempts: error.attempts().into() }
    }
}

impl Error {
    /// Whether a chain goes on to its next credential after this.
    #[must_use]
    pub fn lets_chain_continue(&self) -> bool {
        match self {
            Self::Credential(attempt) => attempt.lets_chain_continue(),
            // A chain as a link of another.
            Self::ChainExhausted(attempts) => attempts.iter().all(Attempt::lets_chain_continue),
            _ => false,
        }
    }

    /// The same under the name of the credential that the caller knows, where that asked another.
    #[must_use]
    pub fn of_credential(self, name: &'static str) -> Self {
        match self {
            Self::Credential(attempt) => Self::Credential(attempt.of_credential(name)),
            other => other,
        }
    }

    /// The credentials that were asked, in order.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Credential(attempt) => std::slice::from_ref(attempt),
            Self::ChainExhausted(attempts) => attempts,
            Self::RenewalFails { cause, .. } | Self::ManagementScope(cause) => cause.attempts(),
            Self::TimedOut { last: Some(last), .. } => &last.attempts,
            _ => &[],
        }
    }

    /// The attempts of a link of a chain that failed.
    #[must_use]
    pub fn into_attempts(self, link: &'static str) -> Vec<Attempt> {
        match self {
            Self::Credential(attempt) => vec![attempt],
            Self::ChainExhausted(attempts) => attempts.to_vec(),
            other => vec![Attempt::new(link, Status::Refused, other.to_string())],
        }
    }

    /// Whether the identity service is asked too often.
    #[must_use]
    pub fn is_throttling(&self) -> bool {
        self.attempts().iter().any(|attempt| attempt.status == Status::Throttled)
    }

    /// How long the identity service wants not to be asked again, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.attempts().iter().find_map(|attempt| attempt.retry_after)
    }
}

impl From<Attempt> for Error {
    fn from(attempt: Attempt) -> Self {
        Self::Credential(attempt)
    }
}

impl std::error::Error for Error {}

/// A duration as a person writes it: "1", "0.5", "30".
#[must_use]
pub fn seconds(duration: Duration) -> String {
    let text = format!("{:.3}", duration.as_secs_f64());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A date as logs have it: "2026-11-22T08:31:02Z".
#[must_use]
pub fn date(moment: SystemTime) -> String {
    let moment = OffsetDateTime::from(moment);
    moment.replace_nanosecond(0).unwrap_or(moment).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn an_exhausted_chain_lists_every_attempt_on_a_line() {
        let error = Error::ChainExhausted(Arc::from([
            Attempt::new("EnvironmentCredential", Status::Unavailable, "AZURE_TENANT_ID is not set"),
            Attempt::new("AzureCliCredential", Status::Unavailable, "az is not\ninstalled"),
        ]));
        assert_eq!(
            error.to_string(),
            "no credential produced a token\n  EnvironmentCredential: AZURE_TENANT_ID is not set\n  AzureCliCredential: az is not\n    installed\n\
             Remedy: on your own machine: az login; elsewhere: set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
        );
    }

    #[test]
    fn an_exhausted_chain_proposes_only_what_it_would_ask() {
        let unavailable = |name| Attempt::new(name, Status::Unavailable, "is not there");
        let remedy =
            |attempts: Vec<Attempt>| Error::ChainExhausted(attempts.into()).report().remedy.map(Cow::into_owned);
        assert_eq!(remedy(vec![unavailable("AzureCliCredential"), unavailable("AzurePowerShellCredential")]), None);
        assert_eq!(
            remedy(vec![unavailable("EnvironmentCredential"), unavailable("ManagedIdentityCredential")]).as_deref(),
            Some(
                "on Azure: give this machine or app a managed identity; elsewhere: set AZURE_TENANT_ID, AZURE_CLIENT_ID and \
                 AZURE_CLIENT_SECRET"
            )
        );
        let signed_out = Attempt::new("AzureDeveloperCliCredential", Status::NotReady, "not signed in");
        let half = Error::ChainExhausted(Arc::from([unavailable("AzureCliCredential"), signed_out]));
        assert!(!half.to_string().contains("Remedy"), "{half}");
    }

    #[test]
    fn a_failed_renewal_tells_its_story() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let error = Error::RenewalFails {
            expired_on: start,
            since: start - Duration::from_secs(90),
            attempts: 3,
            cause: Arc::new(Error::EmptyToken),
        };
        assert_eq!(
            error.to_string(),
            "the token expired at 2027-01-15T08:00:00Z, and renewing it has failed since 2027-01-15T07:58:30Z (attempts: 3). \
             Last: the credential returned an empty token"
        );
    }

    #[test]
    fn a_timeout_says_what_is_known_so_far() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let after = Duration::from_secs(5);
        let first = Error::TimedOut { after, progress: None, expired: None, last: None };
        assert_eq!(first.to_string(), "no token within 5 s; the identity service has not answered yet");
        let later = Error::TimedOut {
            after,
            progress: Some("127.0.0.1 answered 503 (requests: 2)".into()),
            expired: Some((start, start - Duration::from_secs(90))),
            last: Some(LastFailure::from(&Error::EmptyToken)),
        };
        assert_eq!(
            later.to_string(),
            "no token within 5 s; 127.0.0.1 answered 503 (requests: 2), and is asked again. The token expired at \
             2027-01-15T08:00:00Z, and renewing it has failed since 2027-01-15T07:58:30Z. The previous attempt: the \
             credential returned an empty token"
        );
    }

    #[test]
    fn durations_read_like_text() {
        for (millis, text) in [(1000, "1"), (500, "0.5"), (30_000, "30"), (1234, "1.234"), (0, "0")] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }
}
