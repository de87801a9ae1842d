//! An error as its parts, and the one place where they become a text.

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime},
};

use super::{Attempt, Code, Error, Status, date, seconds};

/// What programs get to know of an error.
#[derive(Debug)]
pub struct Report<'error> {
    /// What kind it is.
    pub code: Code,
    /// What happened, and why.
    pub cause: Cow<'error, str>,
    /// What to do about it.
    pub remedy: Option<Cow<'error, str>>,
    /// The identity service's own code, such as `AADSTS7000215`.
    pub service_code: Option<String>,
    /// How long the identity service asks not to be asked again.
    pub retry_after: Option<Duration>,
    /// The credentials that were asked, in order.
    pub attempts: &'error [Attempt],
}

const PASS_USER: &str = "pass user=, the name of the PostgreSQL role";

impl Error {
    /// What kind it is.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Credential(attempt) => code_of(attempt.status),
            // The link that ended the search is the last one.
            Self::ChainExhausted(attempts) => attempts
                .last()
                .filter(|last| !last.lets_chain_continue())
                .map_or(Code::CredentialUnavailable, |last| code_of(last.status)),
            Self::RenewalFails { cause, .. } => cause.code(),
            Self::InsecureTransport { .. } => Code::InsecureTransport,
            Self::ExpiredOnArrival => Code::ExpiredToken,
            Self::EmptyToken => Code::EmptyToken,
            Self::NoOther => Code::RefusedToken,
            Self::MalformedToken(_) => Code::MalformedToken,
            Self::NoPrincipalName { .. } => Code::NoUserName,
            Self::GuestName { .. } => Code::GuestName,
            Self::ManagementScope(_) => Code::ManagementToken,
            Self::TimedOut { .. } => Code::Timeout,
            Self::External { .. } => Code::CredentialRaised,
            Self::InvalidArgument(_) => Code::InvalidArgument,
            Self::AmbiguousScope => Code::AmbiguousScope,
            Self::Abandoned(_) => Code::Abandoned,
        }
    }

    /// Its parts.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        let (cause, remedy) = self.cause_and_remedy();
        let decisive = self.attempts().last();
        Report {
            code: self.code(),
            cause,
            remedy,
            service_code: decisive.and_then(Attempt::service_code),
            retry_after: self.retry_after(),
            attempts: self.attempts(),
        }
    }

    fn cause_and_remedy(&self) -> (Cow<'_, str>, Option<Cow<'_, str>>) {
        let (cause, remedy): (Cow<'_, str>, Option<Cow<'_, str>>) = match self {
            Self::Credential(attempt) => (
                format!("{}: {}", attempt.credential, attempt.reason).into(),
                attempt.remedy.as_deref().map(Cow::Borrowed),
            ),
            Self::ChainExhausted(attempts) => (
                "no credential produced a token".into(),
                match most_ready(attempts) {
                    Some(attempt) => attempt.remedy.as_deref().map(Cow::Borrowed),
                    None => to_set_up_one(attempts).map(Cow::Owned),
                },
            ),
            Self::RenewalFails { expired_on, since, attempts, cause } => (
                format!(
                    "the token expired at {}, and renewing it has failed since {} (attempts: {attempts})",
                    date(*expired_on),
                    date(*since)
                )
                .into(),
                cause.report().remedy,
            ),
            Self::InsecureTransport { setting, value, host } => insecure_transport(setting, value, host),
            Self::ExpiredOnArrival => (
                "the credential returned a token that has already expired".into(),
                Some("check this machine's clock, then the credential".into()),
            ),
            Self::EmptyToken => ("the credential returned an empty token".into(), None),
            Self::NoOther => ("the server refused the token, as it did the one before".into(), None),
            Self::MalformedToken(reason) => (format!("Invalid JWT token format: {reason}").into(), None),
            Self::NoPrincipalName { claims } => (
                format!(
                    "could not determine the user name: none of the token's claims xms_mirid, upn, preferred_username, \
                     unique_name and app_displayname names one (claims in the token: {})",
                    if claims.is_empty() { "none".to_owned() } else { claims.join(", ") }
                )
                .into(),
                Some(format!("{PASS_USER} that was created for this identity").into()),
            ),
            Self::GuestName { account, role } => (
                format!(
                    "could not determine the user name: the token belongs to a guest and names only the home account, \
                     {account}, while the role's name has the form {role}"
                )
                .into(),
                Some(
                    "pass user=, the guest's name in the server's tenant, which `az ad signed-in-user show --query \
                     userPrincipalName` prints"
                        .into(),
                ),
            ),
            Self::ManagementScope(_) => (
                "Failed to acquire token from management scope, which was asked because the database token names no user"
                    .into(),
                Some(format!("{PASS_USER}, and it is not needed").into()),
            ),
            Self::TimedOut { after, progress, expired, .. } => {
                (timed_out(*after, progress.as_deref(), *expired).into(), None)
            }
            Self::AmbiguousScope => (
                "the hosts belong to different Azure clouds or services, and no token is valid for two".into(),
                Some("pass scope= to choose one".into()),
            ),
            Self::External { message, .. } | Self::InvalidArgument(message) | Self::Abandoned(message) => {
                (message.into(), None)
            }
        };
        (cause, remedy)
    }
}

fn insecure_transport(setting: &str, value: &str, host: &str) -> (Cow<'static, str>, Option<Cow<'static, str>>) {
    let refused = format!("refused to request a token: {setting}={value}");
    if setting == "gssencmode" {
        let cause = format!(
            "{refused} sends the token, which is a password, to {host} under GSSAPI encryption, which does not verify the \
             server as TLS does"
        );
        return (cause.into(), Some("remove gssencmode".into()));
    }
    let unknown = match value {
        "disable" | "allow" | "prefer" => "",
        _ => " (none of disable, allow, prefer, require, verify-ca and verify-full)",
    };
    let cause = format!("{refused}{unknown} could send the token, which is a password, unencrypted to {host}");
    (cause.into(), Some("use sslmode=require or stronger (without sslmode, Azure hosts get verify-full)".into()))
}

fn timed_out(after: Duration, progress: Option<&str>, expired: Option<(SystemTime, SystemTime)>) -> String {
    let progress = progress.map_or_else(
        || "the identity service has not answered yet".to_owned(),
        |progress| format!("{progress}, and is asked again"),
    );
    let expired = expired.map_or_else(String::new, |(on, since)| {
        format!(". The token expired at {}, and renewing it has failed since {}", date(on), date(since))
    });
    format!("no token within {} s; {progress}{expired}", seconds(after))
}

const fn code_of(status: Status) -> Code {
    match status {
        Status::Unavailable | Status::NotReady => Code::CredentialUnavailable,
        Status::Misconfigured => Code::Misconfigured,
        Status::NoAnswer => Code::NoAnswer,
        Status::Throttled => Code::Throttled,
        Status::Refused | Status::Succeeded => Code::AuthenticationFailed,
    }
}

/// The attempt that tells most of what to do: the one that ended a search, else the first that is set up.
fn most_ready(attempts: &[Attempt]) -> Option<&Attempt> {
    let ended = attempts.last().filter(|last| !last.lets_chain_continue());
    ended.or_else(|| attempts.iter().find(|attempt| attempt.status != Status::Unavailable))
}

/// What makes the first token possible where nothing is set up: a credential, where it belongs, and how to set it up.
const WAYS: [(&str, &str, &str); 3] = [
    ("AzureCliCredential", "on your own machine", "az login"),
    ("ManagedIdentityCredential", "on Azure", "give this machine or app a managed identity"),
    ("EnvironmentCredential", "elsewhere", "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"),
];

/// The ways to set up one of the credentials that were asked. Where it is only one, what it looked for says that.
fn to_set_up_one(attempts: &[Attempt]) -> Option<String> {
    let was_asked = |name| attempts.iter().any(|attempt| attempt.credential == name);
    let ways: Vec<_> = WAYS
        .iter()
        .filter(|(credential, ..)| was_asked(*credential))
        .map(|(_, place, how)| format!("{place}: {how}"))
        .collect();
    (ways.len() > 1).then(|| ways.join("; "))
}

/// For people: what happened, why, and what to do.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Credential(attempt) = self {
            return attempt.fmt(f);
        }
        let (cause, remedy) = self.cause_and_remedy();
        f.write_str(&cause)?;
        match self {
            Self::ChainExhausted(attempts) => {
                for attempt in attempts.iter() {
                    write!(f, "\n  {}", attempt.to_string().replace('\n', "\n    "))?;
                }
                // One that is set up has its own remedy beside it.
                return match remedy.filter(|_| most_ready(attempts).is_none()) {
                    Some(remedy) => write!(f, "\nRemedy: {remedy}"),
                    None => Ok(()),
                };
            }
            Self::RenewalFails { cause, .. } => return write!(f, ". Last: {cause}"),
            Self::TimedOut { last, .. } => {
                return last.as_ref().map_or(Ok(()), |last| write!(f, ". The previous attempt: {}", last.text));
            }
            _ => {}
        }
        if let Some(remedy) = remedy {
            write!(f, "; {remedy}")?;
        }
        match self {
            Self::InsecureTransport { .. } => {
                f.write_str(", or pass allow_insecure_transport=True if something else protects this connection")
            }
            Self::ManagementScope(cause) => write!(f, ". Cause: {cause}"),
            _ => Ok(()),
        }
    }
}
