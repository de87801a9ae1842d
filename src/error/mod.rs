//! Everything that can go wrong on the way to a login, in words for the person who has to mend it.

pub mod entra_codes;

use std::{
    any::Any,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Why there is no login. Cheap to clone: everybody who waited for the same fetch gets it.
#[derive(Debug, Clone)]
pub enum Error {
    /// The credential is not set up here; a chain goes on to its next link.
    CredentialUnavailable {
        /// Its public name.
        credential: &'static str,
        /// What was looked for, and the remedy.
        reason: String,
    },
    /// The credential is set up and was refused, or its service failed; a chain stops here.
    AuthenticationFailed {
        /// Its public name.
        credential: &'static str,
        /// What the service answered.
        reason: String,
    },
    /// The same because the service is asked too often.
    Throttled {
        /// Its public name.
        credential: &'static str,
        /// What the service answered.
        reason: String,
        /// How long it does not want to be asked again, where it states that (`Retry-After`).
        retry_after: Option<Duration>,
    },
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
    /// No link of a chain gave a token; holds each link's own error in order.
    ChainExhausted(Arc<[Error]>),
    /// The connection could send its token in the clear, so none was requested.
    InsecureTransport {
        /// The setting that allows it, by libpq's name.
        setting: &'static str,
        /// Its value as given.
        value: String,
        /// The first host that it would have gone to.
        host: String,
    },
    /// The credential gave a token whose life was already over.
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
    /// The token is a guest's and names its home account, which the role is not called after.
    GuestName {
        /// That account.
        account: String,
        /// The form of the role's name.
        role: String,
    },
    /// The token names no user, and one for the management scope could not be had either.
    ManagementScope(Arc<Error>),
    /// The caller's patience ended before the identity service gave a token.
    TimedOut {
        /// How long that was.
        after: Duration,
        /// What came of the requests so far, if anything did.
        progress: Option<String>,
        /// If there was a token: when its life ended, and since when it could not be renewed.
        expired: Option<(SystemTime, SystemTime)>,
        /// What became of the attempt before.
        last: Option<String>,
    },
    /// A credential object of another language raised; `cause` is that exception, for `py` alone to look into.
    External {
        /// The exception as text.
        message: String,
        /// The exception itself.
        cause: Arc<dyn Any + Send + Sync>,
    },
    /// A credential was given values that cannot be right.
    InvalidArgument(String),
    /// The fetch ended without an answer (a panic, or a thread that could not start).
    Abandoned(String),
}

impl Error {
    /// Whether a chain goes on to its next credential after this.
    #[must_use]
    pub fn lets_chain_continue(&self) -> bool {
        match self {
            Self::CredentialUnavailable { .. } => true,
            // A chain as a link of another.
            Self::ChainExhausted(attempts) => attempts.iter().all(Self::lets_chain_continue),
            _ => false,
        }
    }

    /// The same under the name of the credential that the caller knows, where that asked another.
    #[must_use]
    pub fn of_credential(self, name: &'static str) -> Self {
        match self {
            Self::CredentialUnavailable { reason, .. } => Self::CredentialUnavailable { credential: name, reason },
            Self::AuthenticationFailed { reason, .. } => Self::AuthenticationFailed { credential: name, reason },
            Self::Throttled { reason, retry_after, .. } => Self::Throttled { credential: name, reason, retry_after },
            other => other,
        }
    }

    /// Whether the identity service is asked too often.
    #[must_use]
    pub fn is_throttling(&self) -> bool {
        match self {
            Self::Throttled { .. } => true,
            Self::ChainExhausted(attempts) => attempts.iter().any(Self::is_throttling),
            _ => false,
        }
    }

    /// How long the identity service wants not to be asked again, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => *retry_after,
            Self::ChainExhausted(attempts) => attempts.iter().find_map(Self::retry_after),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CredentialUnavailable { credential, reason } | Self::AuthenticationFailed { credential, reason } => {
                write!(f, "{credential}: {reason}")
            }
            Self::Throttled { credential, reason, retry_after: Some(wait) } => {
                let wait = seconds(*wait);
                write!(f, "{credential}: {reason}; the service is throttling requests; retry after {wait} s")
            }
            Self::Throttled { credential, reason, retry_after: None } => write!(f, "{credential}: {reason}"),
            Self::RenewalFails { expired_on, since, attempts, cause } => write!(
                f,
                "the token expired at {}, and renewing it has failed since {} (attempts: {attempts}). Last: {cause}",
                date(*expired_on),
                date(*since)
            ),
            Self::ChainExhausted(attempts) => {
                f.write_str("no credential produced a token")?;
                for attempt in attempts.iter() {
                    write!(f, "\n  {}", attempt.to_string().replace('\n', "\n  "))?;
                }
                Ok(())
            }
            Self::InsecureTransport { setting: setting @ "gssencmode", value, host } => write!(
                f,
                "refused to request a token: {setting}={value} sends the token, which is a password, to {host} under GSSAPI \
                 encryption, which does not verify the server as TLS does. Remove {setting}, or pass \
                 allow_insecure_transport=True if that encryption is what protects this connection"
            ),
            Self::InsecureTransport { setting, value, host } => write!(
                f,
                "refused to request a token: {setting}={value}{unknown} could send the token, which is a password, \
                 unencrypted to {host}. Use sslmode=require or stronger (without sslmode, Azure hosts get verify-full), or \
                 pass allow_insecure_transport=True if something else protects this connection",
                unknown = match &**value {
                    "disable" | "allow" | "prefer" => "",
                    _ => " (none of disable, allow, prefer, require, verify-ca and verify-full)",
                }
            ),
            Self::ExpiredOnArrival => f.write_str(
                "the credential handed out a token that has already expired; check this machine's clock, then the credential",
            ),
            Self::EmptyToken => f.write_str("the credential handed out an empty token"),
            Self::NoOther => f.write_str("the server refused the token, and so it did the one before"),
            Self::MalformedToken(reason) => write!(f, "Invalid JWT token format: {reason}"),
            Self::NoPrincipalName { claims } => write!(
                f,
                "could not tell the user name from the token: none of xms_mirid, upn, preferred_username, unique_name or \
                 app_displayname names one (claims in the token: {}). Pass user=, the name of the PostgreSQL role that was \
                 created for this identity",
                if claims.is_empty() { "none".to_owned() } else { claims.join(", ") }
            ),
            Self::GuestName { account, role } => write!(
                f,
                "could not determine the user name: the token belongs to a guest and names only the home account, {account}. \
                 Pass user=, the guest's name in the server's tenant, which has the form {role}; `az ad signed-in-user show \
                 --query userPrincipalName` prints it"
            ),
            Self::ManagementScope(cause) => write!(
                f,
                "Failed to acquire token from management scope, which was asked because the database token names no user; \
                 pass user=, the name of the PostgreSQL role, and it is not needed. Cause: {cause}"
            ),
            Self::TimedOut { after, progress, expired, last } => {
                write!(f, "no token within {} s; ", seconds(*after))?;
                match progress {
                    Some(progress) => write!(f, "{progress}, and is asked again")?,
                    None => f.write_str("the identity service has not answered yet")?,
                }
                if let Some((on, since)) = expired {
                    let (on, since) = (date(*on), date(*since));
                    write!(f, ". The token expired at {on}, and renewing it has failed since {since}")?;
                }
                last.as_ref().map_or(Ok(()), |last| write!(f, ". The attempt before: {last}"))
            }
            Self::External { message, .. } | Self::InvalidArgument(message) | Self::Abandoned(message) => f.write_str(message),
        }
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
    use super::*;

    #[test]
    fn an_exhausted_chain_lists_every_attempt_on_a_line() {
        let error = Error::ChainExhausted(Arc::from([
            Error::CredentialUnavailable {
                credential: "EnvironmentCredential",
                reason: "AZURE_TENANT_ID is not set".into(),
            },
            Error::CredentialUnavailable { credential: "AzureCliCredential", reason: "az is not\ninstalled".into() },
        ]));
        assert_eq!(
            error.to_string(),
            "no credential produced a token\n  EnvironmentCredential: AZURE_TENANT_ID is not set\n  AzureCliCredential: az is not\n  installed"
        );
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
             Last: the credential handed out an empty token"
        );
    }

    #[test]
    fn lost_patience_tells_what_is_known_so_far() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let after = Duration::from_secs(5);
        let first = Error::TimedOut { after, progress: None, expired: None, last: None };
        assert_eq!(first.to_string(), "no token within 5 s; the identity service has not answered yet");
        let later = Error::TimedOut {
            after,
            progress: Some("127.0.0.1 answered 503 (requests: 2)".into()),
            expired: Some((start, start - Duration::from_secs(90))),
            last: Some(Error::EmptyToken.to_string()),
        };
        assert_eq!(
            later.to_string(),
            "no token within 5 s; 127.0.0.1 answered 503 (requests: 2), and is asked again. The token expired at \
             2027-01-15T08:00:00Z, and renewing it has failed since 2027-01-15T07:58:30Z. The attempt before: the credential \
             handed out an empty token"
        );
    }

    #[test]
    fn durations_read_like_text() {
        for (millis, text) in [(1000, "1"), (500, "0.5"), (30_000, "30"), (1234, "1.234"), (0, "0")] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }
}
