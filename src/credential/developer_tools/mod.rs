//! The common part of the credentials that run a developer's command line.

mod azure_cli;
mod azure_developer_cli;
mod azure_powershell;
mod command;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;

use std::{
    io,
    time::{Duration, SystemTime},
};

pub use azure_cli::AzureCliCredential;
pub use azure_developer_cli::AzureDeveloperCliCredential;
pub use azure_powershell::AzurePowerShellCredential;
use base64::{Engine, engine::general_purpose::STANDARD};
use command::Output;
use serde_json::{Deserializer, Map, Value};
use tokio::time::Instant;

use super::{
    expiry,
    http::redaction::{quoted, redacted},
};
use crate::{
    cache::FetchedToken,
    error::{Attempt, Error, Status, entra_errors, seconds},
    platform::process,
};

/// A command line with a signed-in account.
///
/// After every failure, a chain continues with its next link.
#[derive(Debug)]
pub struct Tool {
    /// The credential's public name.
    pub credential: &'static str,
    /// The program.
    pub program: &'static str,
    /// Its other names.
    pub other_programs: &'static [&'static str],
    /// Its name in messages.
    pub title: &'static str,
    /// The command that signs in.
    pub sign_in: &'static str,
    /// The option of that command that names a tenant.
    pub tenant_option: &'static str,
    /// The environment variable that disables colours.
    pub plain: (&'static str, &'static str),
}

impl Tool {
    /// Run it and return its output without colours, for [`Self::token`].
    pub async fn run(&self, arguments: &[&str], limit: Duration, deadline: Instant) -> Result<Output, Error> {
        let mut names = std::iter::once(&self.program).chain(self.other_programs);
        let Some(path) = names.find_map(|name| command::find(name)) else { return Err(self.not_installed()) };
        let output = command::run(&path, arguments, self.plain, limit, deadline).await.map_err(|error| {
            if error.kind() == io::ErrorKind::TimedOut {
                let limit = seconds(limit);
                let reason = format!("`{}` did not answer within {limit} s and was stopped", self.program);
                self.attempt(Status::NoAnswer, reason).with_remedy("process_timeout= allows more time")
            } else {
                self.attempt(Status::NotReady, format!("{} could not be run: {error}", path.display()))
            }
        })?;
        Ok(Output {
            status: output.status,
            stdout: without_controls(&output.stdout),
            stderr: without_controls(&output.stderr),
        })
    }

    /// Read the token in its output.
    ///
    /// # Arguments
    /// * `read`: finds the token in the standard output
    /// * `refusal`: makes the error of a failed tool's output
    ///
    /// # Errors
    /// It is not installed, it failed, or its output holds no token.
    pub fn token(
        &self,
        output: &Output,
        read: impl Fn(&str) -> Option<FetchedToken>,
        refusal: impl Fn(&Output) -> Error,
    ) -> Result<FetchedToken, Error> {
        let succeeded = output.status.map(|status| status.success());
        if succeeded != Some(false)
            && let Some(token) = read(&output.stdout)
        {
            return Ok(token);
        }
        Err(if succeeded == Some(true) {
            self.unexpected(&output.stdout)
        } else if output.status.and_then(|status| status.code()) == Some(process::NO_PROGRAM) {
            self.not_installed()
        } else {
            refusal(output)
        })
    }

    /// The error for a missing program.
    fn not_installed(&self) -> Error {
        self.attempt(Status::Unavailable, format!("{} is not installed or not on PATH", self.title)).into()
    }

    /// The error for a tool without a signed-in account.
    pub fn not_signed_in(&self, tenant_id: Option<&str>) -> Error {
        let remedy = format!("run `{}`", self.sign_in_to(tenant_id));
        self.attempt(Status::NotReady, "not signed in".to_owned()).with_remedy(remedy).into()
    }

    /// The error for a claims challenge, which only signing in can satisfy.
    pub fn needs_claims(&self, option: &str, claims: &str, tenant_id: Option<&str>) -> Error {
        let (sign_in, claims) = (self.sign_in_to(tenant_id), STANDARD.encode(claims));
        let remedy = format!("to satisfy them, run `{sign_in} {option} {claims}`");
        self.attempt(Status::NotReady, "it cannot request claims".to_owned()).with_remedy(remedy).into()
    }

    /// The error for a tool that failed with a message.
    pub fn failed(&self, words: &str, tenant_id: Option<&str>) -> Error {
        let words = redacted(words.trim(), &[]);
        let (words, its_own) = self.apart(&words);
        let sign_in = its_own.unwrap_or_else(|| self.sign_in_to(tenant_id));
        if words.is_empty() {
            return self
                .attempt(Status::NotReady, format!("`{}` failed without a message", self.program))
                .with_remedy(format!("if you are not signed in, run `{sign_in}`"))
                .into();
        }
        let attempt = self.attempt(Status::NotReady, words.clone()).with_entra_words(&words);
        let remedy = match &attempt.remedy {
            Some(remedy) if remedy == entra_errors::SIGN_IN_AGAIN => format!("run `{sign_in}`"),
            Some(remedy) => format!("{remedy}; `{sign_in}` signs in again"),
            None => format!("if you are not signed in, run `{sign_in}`"),
        };
        attempt.with_remedy(remedy).into()
    }

    /// What a tool says happened, and the command to sign in that it proposes on a line of its own, under a line that
    /// ends in a colon. `az` knows the scope for which signing in is needed.
    fn apart(&self, words: &str) -> (String, Option<String>) {
        let lines: Vec<_> = words.lines().map(str::trim).collect();
        let proposed = lines.windows(2).position(|pair| pair[0].ends_with(':') && pair[1].starts_with(self.sign_in));
        match proposed {
            Some(at) => {
                ([&lines[..at], &lines[at + 2..]].concat().join("\n").trim().to_owned(), Some(lines[at + 1].to_owned()))
            }
            None => (words.to_owned(), None),
        }
    }

    /// A part of it that it needs is not there.
    pub fn lacks(&self, what: &str, remedy: &'static str) -> Error {
        self.attempt(Status::Unavailable, format!("{what} is not installed")).with_remedy(remedy).into()
    }

    /// The error for a tool that succeeded without a token.
    fn unexpected(&self, output: &str) -> Error {
        let reason = format!("`{}` did not return a token, but {}", self.program, quoted(output.trim(), &[]));
        self.attempt(Status::NotReady, reason).with_remedy("check that it is up to date").into()
    }

    fn attempt(&self, status: Status, reason: String) -> Attempt {
        Attempt::new(self.credential, status, reason).optional()
    }

    fn sign_in_to(&self, tenant_id: Option<&str>) -> String {
        match tenant_id {
            Some(tenant_id) => format!("{} {} {tenant_id}", self.sign_in, self.tenant_option),
            None => self.sign_in.to_owned(),
        }
    }
}

/// The token, unless it is empty. If the tool does not state its expiry, its claims do.
pub fn token(secret: &str, expires_on: Option<SystemTime>) -> Option<FetchedToken> {
    let expires_at = expires_on.or_else(|| expiry::of_token(secret)).filter(|_| !secret.is_empty())?;
    Some(FetchedToken::new(secret.into(), expires_at))
}

/// The JSON objects in a tool's output, among warnings, notices of updates and a byte order mark.
pub fn objects(output: &str) -> impl Iterator<Item = Map<String, Value>> {
    let mut rest = output;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find('{')?..];
            let mut values = Deserializer::from_str(rest).into_iter();
            let found = values.next();
            let end = values.byte_offset();
            if let Some(Ok(object)) = found {
                rest = &rest[end..];
                return Some(object);
            }
            rest = &rest[1..];
        }
    })
}

/// A text without the sequences that colour a terminal (ECMA-48, 5.4), which JSON and tokens cannot hold.
fn without_controls(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|letter: char| matches!(letter, '@'..='~')).map_or(piece.len(), |end| end + 1);
        plain.push_str(&piece[end..]);
    }
    // What is left of an incomplete sequence could begin another one.
    plain.replace('\x1b', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_found_among_other_things() {
        for (output, expected) in [
            ("{\"a\": 1}", vec![1]),
            ("\u{feff}{\"a\": 1}\r\n", vec![1]),
            ("WARNING: {not json} {\"a\": 1} see {x}\n{\"a\": 2}", vec![1, 2]),
            ("{\"a\": {\"a\": 3}}", vec![0]),
            ("[{\"a\": 1}]", vec![1]),
            ("{", vec![]),
            ("", vec![]),
        ] {
            let found: Vec<_> = objects(output).map(|object| object["a"].as_i64().unwrap_or(0)).collect();
            assert_eq!(found, expected, "{output}");
        }
    }

    #[test]
    fn colours_are_left_out() {
        for (text, plain) in [
            ("\x1b[0m{\x1b[1;31m\"a\"\x1b[0m}\x1b[K", "{\"a\"}"),
            ("plain [0m", "plain [0m"),
            ("cut \x1b[", "cut "),
            ("\x1b\x1b[0m[31mred", "[31mred"),
            ("é\x1b[33mé", "éé"),
        ] {
            assert_eq!(without_controls(text), plain, "{text:?}");
        }
    }
}
