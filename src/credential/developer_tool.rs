//! What the credentials that run a developer's command line have in common.

use std::{
    io,
    marker::PhantomData,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{command, entra_errors, transport::AttemptLog};
use crate::{
    cache::FetchedToken,
    claims,
    error::{Error, seconds},
};

/// A command line that knows who is signed in.
///
/// One that does not work is a link that is not there: a chain goes on to the next. So every failure is
/// [`Error::CredentialUnavailable`].
#[derive(Debug)]
pub struct Tool {
    /// The credential's public name.
    pub credential: &'static str,
    /// What is run.
    pub program: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// How one signs in.
    pub sign_in: &'static str,
    /// The option of that command that names a tenant.
    pub tenant_option: &'static str,
    /// Makes it speak without colours.
    pub plain: (&'static str, &'static str),
}

impl Tool {
    /// Runs it. An exit status other than 0 is for the caller to look into.
    pub async fn run(&self, arguments: &[&str], limit: Duration, deadline: Instant) -> Result<command::Output, Error> {
        let Some(path) = command::find(self.program) else { return Err(self.not_installed()) };
        command::run(&path, arguments, self.plain, limit, deadline).await.map_err(|error| {
            self.unavailable(match error.kind() {
                io::ErrorKind::TimedOut => format!(
                    "`{}` did not answer within {} s and was stopped; process_timeout= gives it longer",
                    self.program,
                    seconds(limit)
                ),
                _ => format!("{} could not be run: {error}", path.display()),
            })
        })
    }

    /// Nothing of that name is there.
    pub fn not_installed(&self) -> Error {
        self.unavailable(format!("{} is not installed or not on PATH", self.title))
    }

    /// Nobody is signed in, as far as the tool could tell.
    pub fn not_signed_in(&self, tenant_id: Option<&str>) -> Error {
        self.unavailable(format!("not signed in; run `{}`", self.sign_in_to(tenant_id)))
    }

    /// It cannot ask for the claims of a challenge; signing in with them can.
    pub fn needs_claims(&self, option: &str, claims: &str, tenant_id: Option<&str>) -> Error {
        let (sign_in, claims) = (self.sign_in_to(tenant_id), STANDARD.encode(claims));
        self.unavailable(format!("it cannot request claims; to satisfy them, run `{sign_in} {option} {claims}`"))
    }

    /// It failed with words of its own.
    pub fn failed(&self, words: &str, tenant_id: Option<&str>) -> Error {
        let words = AttemptLog::default().explain(words.trim());
        let words = if words.is_empty() { format!("`{}` failed and said nothing", self.program) } else { words };
        let sign_in = self.sign_in_to(tenant_id);
        self.unavailable(match entra_errors::advice(&words) {
            Some(advice) => format!("{words}\n{advice} `{sign_in}` signs in anew"),
            None => format!("{words}; if you are not signed in, run `{sign_in}`"),
        })
    }

    /// It succeeded, but what it said is no token.
    pub fn unexpected(&self, output: &str) -> Error {
        let output = AttemptLog::default().explain(output.trim());
        self.unavailable(format!("`{}` said something else than a token: {output:?}; is it up to date?", self.program))
    }

    fn unavailable(&self, reason: String) -> Error {
        Error::CredentialUnavailable { credential: self.credential, reason }
    }

    fn sign_in_to(&self, tenant_id: Option<&str>) -> String {
        match tenant_id {
            Some(tenant_id) => format!("{} {} {tenant_id}", self.sign_in, self.tenant_option),
            None => self.sign_in.to_owned(),
        }
    }
}

/// The token; where the tool does not tell when it expires, the token itself does.
pub fn token(secret: &str, expires_on: Option<u64>) -> Option<FetchedToken> {
    let in_token = || {
        let payload = claims::payload(secret).ok()?;
        claims::object(&payload, PhantomData::<Map<String, Value>>).ok()?.get("exp")?.as_u64()
    };
    let expires_at = UNIX_EPOCH.checked_add(Duration::from_secs(expires_on.or_else(in_token)?))?;
    Some(FetchedToken { secret: secret.into(), expires_at, refresh_at: None })
}

/// Seconds since 1970 of a moment in RFC 3339's notation.
pub fn moment(text: &str) -> Option<u64> {
    let moment = azure_core::time::parse_rfc3339(text).ok()?;
    SystemTime::from(moment).duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}
