//! The Entra ID authority that issues the tokens, one in each cloud.

use azure_core::http::Url;

use crate::{
    credential::{http::redaction::quoted_url, variable},
    error::{Attempt, Error, Status},
    platform::variables::AZURE_AUTHORITY_HOST,
};

const PUBLIC: &str = "https://login.microsoftonline.com/";

/// An Entra ID authority: the https URL of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority(Url);

impl Authority {
    /// Read `login.microsoftonline.us` or `https://login.microsoftonline.us/`; `name` is that of the argument or variable.
    ///
    /// # Errors
    /// It is not a URL, or not https.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let text = text.trim();
        let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        match Url::parse(&url) {
            // The parser would read "https:///x" as the host "x".
            Ok(url) if url.scheme() == "https" && url.has_host() && !text.starts_with('/') => Ok(Self(url)),
            Ok(_) | Err(_) => Err(format!(
                "{name}={}: expected the host name of an Entra ID authority or its https URL, such as \
                 \"login.microsoftonline.com\"",
                quoted_url(text)
            )),
        }
    }

    /// The caller's authority, else that of `AZURE_AUTHORITY_HOST`, else the public cloud's.
    ///
    /// # Errors
    /// The variable does not name an authority.
    pub fn resolve(credential: &'static str, given: Option<&Self>) -> Result<Self, Error> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let text = variable(AZURE_AUTHORITY_HOST).unwrap_or_else(|| PUBLIC.to_owned());
        Self::parse(AZURE_AUTHORITY_HOST, &text)
            .map_err(|reason| Attempt::new(credential, Status::Misconfigured, reason).into())
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.to_string()
    }

    /// The URL that issues a tenant's tokens.
    #[must_use]
    pub fn token_endpoint(&self, tenant_id: &str) -> String {
        let mut url = self.0.clone();
        url.set_path(&format!("/{tenant_id}/oauth2/v2.0/token"));
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_https() {
        for good in
            ["login.microsoftonline.us", " https://login.microsoftonline.us/ ", "https://127.0.0.1:8443", "[::1]"]
        {
            assert!(Authority::parse("authority", good).is_ok(), "{good}");
        }
        for bad in ["http://login.microsoftonline.com", "", "https://", "/relative", "ftp://host", "a b"] {
            let error = Authority::parse("authority", bad).unwrap_err();
            assert!(error.starts_with("authority="), "{error}");
        }
    }

    #[test]
    fn no_error_shows_a_password() {
        for (bad, shown) in [
            ("http://ada:pass/w@rd@login.example.com/", "http://****@login.example.com/"),
            ("ada:p#ss@login.example.com", "****@login.example.com"),
        ] {
            let error = Authority::parse("authority", bad).unwrap_err();
            assert!(error.starts_with(&format!("authority={shown:?}: expected")), "{error}");
        }
    }

    #[test]
    fn a_tenant_has_its_endpoint() {
        for authority in ["login.microsoftonline.us", "https://login.microsoftonline.us/common/"] {
            let endpoint = Authority::parse("authority", authority).unwrap().token_endpoint("t");
            assert_eq!(endpoint, "https://login.microsoftonline.us/t/oauth2/v2.0/token");
        }
    }
}
