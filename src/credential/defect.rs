//! Values that secret stores, `docker run --env-file` and templates have copied wrongly into a setting.

use std::{fmt, path::Path};

use super::variable;
use crate::error::{Attempt, Error, Status};

/// A setting whose value was copied wrongly; never shows the value.
#[derive(Debug)]
pub struct Defect {
    /// The setting, and what is odd about its value.
    pub problem: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Defect {
    /// As the reason why a credential gives no token.
    #[must_use]
    pub fn of(self, credential: &'static str) -> Error {
        Attempt::new(credential, Status::Misconfigured, self.problem).with_remedy(self.remedy).into()
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

/// What is odd about a value that is written without white space and quotation marks, to follow its name, and what to do;
/// never the value.
#[must_use]
pub fn defect(value: &str) -> Option<(&'static str, &'static str)> {
    let bare = value.trim();
    let quoted = |mark| bare.len() > 1 && bare.starts_with(mark) && bare.ends_with(mark);
    let bare_start = bare.trim_start_matches(['"', '\'']);
    if bare_start.get(..20).is_some_and(|start| start.eq_ignore_ascii_case("@Microsoft.KeyVault(")) {
        Some((
            "is an unresolved Key Vault reference: App Service could not read the secret",
            "check that the app's identity may read secrets of the vault, and the reference's status in the portal",
        ))
    } else if quoted('"') || quoted('\'') {
        Some((
            "is enclosed in quotation marks, which secret stores and `docker run --env-file` keep as part of the value",
            "remove them",
        ))
    } else if value.ends_with('\n') {
        Some(("ends with a line break, which files and secret stores often add", "remove it"))
    } else if value.starts_with('\u{feff}') {
        Some(("begins with a byte order mark", "remove it"))
    } else if bare.len() < value.len() {
        let begins = value.starts_with(char::is_whitespace);
        Some((if begins { "begins with white space" } else { "ends with white space" }, "remove it"))
    } else {
        None
    }
}

/// Refuses a value with a defect.
///
/// # Errors
/// The name, and what is odd about the value.
pub fn check(name: &str, value: &str) -> Result<(), Defect> {
    defect(value).map_or(Ok(()), |(what, remedy)| Err(Defect { problem: format!("{name} {what}"), remedy }))
}

/// An environment variable that is set to something.
///
/// # Errors
/// Its value has a defect.
pub fn setting(name: &str) -> Result<Option<String>, Defect> {
    let value = variable(name);
    value.as_deref().map_or(Ok(()), |value| check(name, value))?;
    Ok(value)
}

/// The same for the path of a file, which may have any name.
///
/// # Errors
/// Its value has a defect, and there is no such file.
pub fn path_setting(name: &str) -> Result<Option<String>, Defect> {
    match variable(name) {
        Some(path) if Path::new(&path).exists() => Ok(Some(path)),
        _ => setting(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defects() {
        for (value, words) in [
            ("", None),
            ("a", None),
            ("\"", None),
            ("a b", None),
            ("it's", None),
            ("\"a\"", Some("quotation marks")),
            ("'a'\n", Some("quotation marks")),
            ("a\n", Some("ends with a line break")),
            ("a\r\n", Some("ends with a line break")),
            ("a\r", Some("ends with white space")),
            (" a", Some("begins with white space")),
            (" ", Some("begins with white space")),
            ("\u{feff}a", Some("byte order mark")),
            ("@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s)", Some("Key Vault reference")),
            ("'@microsoft.keyvault(VaultName=v;SecretName=s)'", Some("Key Vault reference")),
        ] {
            let found = defect(value);
            assert_eq!(found.is_some(), words.is_some(), "{value:?}");
            let (what, _) = found.unwrap_or_default();
            assert!(what.contains(words.unwrap_or_default()), "{value:?}: {found:?}");
        }
    }
}
