//! Names and ids in the settings of credentials, checked when they are read, be it from an argument or from the environment.

use std::{fmt, ops::Deref};

use super::defect::{self, Defect, setting};
use crate::platform::{
    secret::Secret,
    variables::{AZURE_CLIENT_ID, AZURE_TENANT_ID},
};

/// Check a required value for the defects of copied settings.
fn required(name: &str, text: &str) -> Result<(), Defect> {
    if text.is_empty() { Err(missing(name)) } else { defect::check(name, text) }
}

/// The defect of a required value that is not given.
pub fn missing(name: &str) -> Defect {
    Defect { problem: format!("{name} is required and must not be empty"), remedy: "give its value" }
}

/// A directory (tenant) id or domain. It becomes part of a URL and of command lines.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantId(String);

impl TenantId {
    /// Read a tenant id or domain; `name` is that of the argument or variable.
    ///
    /// # Errors
    /// It holds other characters than letters, digits, `.` and `-`. The text does not show the value, which may be a secret
    /// in the wrong place.
    pub fn parse(name: &str, text: &str) -> Result<Self, Defect> {
        required(name, text)?;
        match text.chars().find(|letter| !letter.is_ascii_alphanumeric() && !matches!(letter, '.' | '-')) {
            None => Ok(Self(text.to_owned())),
            Some(letter) => Err(Defect {
                problem: format!("{name} contains {letter:?}"),
                remedy: "give a directory (tenant) id such as 11111111-2222-3333-4444-555555555555, or a domain",
            }),
        }
    }

    /// Read `AZURE_TENANT_ID`, if it is set.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of_environment() -> Result<Option<Self>, Defect> {
        setting(AZURE_TENANT_ID)?.map(|text| Self::parse(AZURE_TENANT_ID, &text)).transpose()
    }
}

/// An application (client) id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientId(String);

impl ClientId {
    /// Read a client id; `name` is that of the argument or variable.
    ///
    /// # Errors
    /// It is empty, or was copied wrongly.
    pub fn parse(name: &str, text: &str) -> Result<Self, Defect> {
        required(name, text).map(|()| Self(text.to_owned()))
    }

    /// Read `AZURE_CLIENT_ID`, if it is set.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of_environment() -> Result<Option<Self>, Defect> {
        setting(AZURE_CLIENT_ID)?.map(|text| Self::parse(AZURE_CLIENT_ID, &text)).transpose()
    }
}

/// The name or id of a subscription. `az` would treat other texts as options.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subscription(String);

impl Subscription {
    /// Read a subscription's name or id; `name` is that of the argument.
    ///
    /// # Errors
    /// It holds a character that names of subscriptions do not have.
    pub fn parse(name: &str, text: &str) -> Result<Self, Defect> {
        if text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | ' ')) {
            return Ok(Self(text.to_owned()));
        }
        let problem = format!("{name}={text:?}: expected letters, digits, '_', '-', '.' and spaces");
        Err(Defect { problem, remedy: "if its name has others, give its id" })
    }
}

/// Read a client secret or another secret; `name` is that of the argument.
///
/// # Errors
/// It is empty, or was copied wrongly.
pub fn parse_secret(name: &str, text: &str) -> Result<Secret, Defect> {
    required(name, text).map(|()| Secret::from(text))
}

/// Read an id that has no type of its own; `name` is that of the argument.
///
/// # Errors
/// It is empty, or was copied wrongly.
pub fn parse_id(name: &str, text: &str) -> Result<String, Defect> {
    required(name, text).map(|()| text.to_owned())
}

macro_rules! text {
    ($($kind:ty),*) => {$(
        impl Deref for $kind {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self)
            }
        }
    )*};
}
text!(TenantId, ClientId, Subscription);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_ids_or_domains() {
        for good in ["11111111-2222-3333-4444-555555555555", "example.onmicrosoft.com", "organizations"] {
            assert_eq!(&*TenantId::parse("tenant_id", good).unwrap(), good);
        }
        for (bad, words) in [
            ("a/b", "contains '/'"),
            ("../common", "contains '/'"),
            ("a?b", "contains '?'"),
            ("é.com", "contains 'é'"),
            ("", "is required"),
            (" a", "white space"),
        ] {
            let error = TenantId::parse("tenant_id", bad).unwrap_err().to_string();
            assert!(error.starts_with("tenant_id ") && error.contains(words), "{error}");
        }
    }
}
