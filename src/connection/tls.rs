//! What protects a token on its way.
//!
//! A token is a bearer password until it expires. So a connection to another machine uses TLS, one to an Azure host verifies
//! the server too, and settings that permit less are refused before a token is requested. A target that cannot be determined
//! counts as another machine.

use std::borrow::Cow;

use super::target::Target;
use crate::error::Error;

/// libpq's modes that never go on without TLS.
const ENCRYPTING: [&str; 3] = ["require", "verify-ca", "verify-full"];
const VERIFY_FULL: &str = "verify-full";
/// The value of `sslrootcert` that stands for the operating system's roots (PostgreSQL 16). It needs `verify-full`.
const SYSTEM_ROOTS: &str = "system";

/// The root certificates that the server's must lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those that Azure documents, which this package ships.
    Azure,
    /// The operating system's.
    System,
    /// A PEM file of the caller's.
    File(String),
}

/// What a connection must have, so that its token is safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsRequirement {
    /// libpq's: `require`, `verify-ca` or `verify-full`.
    pub sslmode: Cow<'static, str>,
    /// The roots of the server's certificate; `None` leaves them to the driver.
    pub roots: Option<Roots>,
}

/// The caller's TLS settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct TlsSettings<'a> {
    /// libpq's `sslmode`, as given.
    pub sslmode: Option<&'a str>,
    /// libpq's `sslrootcert`, as given: a file, or `system`.
    pub sslrootcert: Option<&'a str>,
    /// libpq's `gssencmode`, as given: whether GSSAPI encryption is tried before TLS.
    pub gssencmode: Option<&'a str>,
    /// A source that cannot be read may require stronger protection than these settings do.
    pub may_be_stricter: bool,
    /// User and password are both given: no token is sent.
    pub has_credentials: bool,
    /// The caller accepts a connection that TLS does not protect.
    pub allow_insecure: bool,
}

impl TlsSettings<'_> {
    /// What the connection must have; `None` if the caller's settings apply unchanged.
    ///
    /// `target` is `None` if it cannot be determined.
    ///
    /// # Errors
    /// [`Error::InsecureTransport`] if the settings forbid it.
    pub fn requirement(&self, target: Option<&Target>) -> Result<Option<TlsRequirement>, Error> {
        let known = target.filter(|target| target.is_named());
        let mut remote = known.map(Target::remote).into_iter().flatten().peekable();
        let host = match known {
            Some(_) => match remote.peek() {
                Some(host) => *host,
                None => return Ok(None),
            },
            None => "a host that the settings do not name",
        };
        let to_azure = remote.any(crate::connection::cloud::is_azure_server);
        if self.has_credentials && (self.sslmode.is_some() || !to_azure) {
            // The caller's own password, not a token.
            return Ok(None);
        }
        // Python's resolver maps other letters, dots and invisible characters to ASCII: it may be the name of Azure's server.
        let may_be_azure = || known.map(Target::remote).into_iter().flatten().any(|host| !host.is_ascii());
        let verifies_by_default = to_azure
            || known.is_none()
            || self.may_be_stricter
            || self.sslrootcert == Some(SYSTEM_ROOTS)
            || may_be_azure();
        let sslmode = match self.sslmode {
            None if verifies_by_default => VERIFY_FULL.into(),
            None => "require".into(),
            Some(mode) if ENCRYPTING.contains(&mode) => Cow::Owned(mode.to_owned()),
            Some(_) if self.allow_insecure => return Ok(None),
            Some(mode) => return Err(insecure("sslmode", mode, host)),
        };
        // libpq tries GSSAPI encryption before TLS, whatever sslmode is, and then neither verifies the server.
        if self.gssencmode == Some("require") && !self.has_credentials {
            return if self.allow_insecure { Ok(None) } else { Err(insecure("gssencmode", "require", host)) };
        }
        let roots = match self.sslrootcert {
            Some(SYSTEM_ROOTS) => Some(Roots::System),
            Some(file) => Some(Roots::File(file.to_owned())),
            None if sslmode == "require" => None,
            None => known.is_none_or(Target::is_azure_only).then_some(Roots::Azure),
        };
        Ok(Some(TlsRequirement { sslmode, roots }))
    }
}

fn insecure(setting: &'static str, value: &str, host: &str) -> Error {
    Error::InsecureTransport { setting, value: value.to_owned(), host: host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AZURE: &str = "srv.postgres.database.azure.com";
    const COSMOS: &str = "c-orders.abc123.postgres.cosmos.azure.com";

    fn target(hosts: &str, addresses: &str) -> Target {
        let list = |text: &str| {
            if text.is_empty() { vec![] } else { text.split(',').map(ToOwned::to_owned).collect() }
        };
        Target { hosts: list(hosts), addresses: list(addresses), ports: vec![], unix_sockets: true }
    }

    /// `sslmode` and roots, or the refused setting.
    fn decide(settings: TlsSettings<'_>, target: Option<&Target>) -> String {
        match settings.requirement(target) {
            Ok(None) => "as given".to_owned(),
            Ok(Some(TlsRequirement { sslmode, roots })) => match roots {
                None => sslmode.into_owned(),
                Some(Roots::Azure) => format!("{sslmode} azure"),
                Some(Roots::System) => format!("{sslmode} system"),
                Some(Roots::File(file)) => format!("{sslmode} {file}"),
            },
            Err(Error::InsecureTransport { setting, .. }) => format!("refused: {setting}"),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_rules() {
        for (hosts, addresses, sslmode, sslrootcert, expected) in [
            // This machine: the caller's choice.
            ("localhost", "", "disable", "", "as given"),
            ("127.0.0.1", "", "", "", "as given"),
            ("/run/postgresql", "", "", "", "as given"),
            ("db.example.com", "127.0.0.1", "", "", "as given"),
            // No host is named: the driver's default may be any machine.
            ("", "", "", "", "verify-full azure"),
            ("", "", "disable", "", "refused: sslmode"),
            ("", "", "require", "", "require"),
            // Azure: verified, against Azure's roots.
            (AZURE, "", "", "", "verify-full azure"),
            (COSMOS, "", "", "", "verify-full azure"),
            (AZURE, "127.0.0.1", "", "", "verify-full azure"),
            (AZURE, "", "", "mine.pem", "verify-full mine.pem"),
            (AZURE, "", "", "system", "verify-full system"),
            (AZURE, "", "verify-ca", "", "verify-ca azure"),
            (AZURE, "", "require", "", "require"),
            (AZURE, "", "prefer", "", "refused: sslmode"),
            (AZURE, "", "nonsense", "", "refused: sslmode"),
            // Any other: at least encrypted.
            ("db.example.com", "", "", "", "require"),
            ("db.example.com", "", "", "system", "verify-full system"),
            ("db.example.com", "", "verify-full", "", "verify-full"),
            // What Python's resolver reads as an Azure server.
            ("srv.postgres.database.azure.com\u{200b}", "", "", "", "verify-full"),
            ("srv.postgres.data\u{ad}base.azure.com", "", "", "", "verify-full"),
            ("srv\u{3002}postgres.database.azure.com", "", "", "", "verify-full"),
            ("srv\u{3002}postgres.database.azure.com", "", "require", "", "require"),
            ("", "10.0.0.5", "", "", "require"),
            ("localhost", "10.0.0.5", "", "", "require"),
            ("localhost,db.example.com", "", "", "", "require"),
            ("localhost,db.example.com", "", "allow", "", "refused: sslmode"),
            (&*format!("localhost,{AZURE}"), "", "", "", "verify-full"),
        ] {
            let given = |text: &'static str| Some(text).filter(|text| !text.is_empty());
            let settings =
                TlsSettings { sslmode: given(sslmode), sslrootcert: given(sslrootcert), ..TlsSettings::default() };
            let decided = decide(settings, Some(&target(hosts, addresses)));
            assert_eq!(decided, expected, "{hosts} {addresses} {sslmode} {sslrootcert}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_determined_is_another_machine() {
        assert_eq!(decide(TlsSettings::default(), None), "verify-full azure");
        let prefer = TlsSettings { sslmode: Some("prefer"), ..TlsSettings::default() };
        assert_eq!(decide(prefer, None), "refused: sslmode");
    }

    #[test]
    fn gssapi_encryption_never_takes_the_place_of_tls() {
        let gss = TlsSettings { gssencmode: Some("require"), ..TlsSettings::default() };
        assert_eq!(decide(gss, Some(&target(AZURE, ""))), "refused: gssencmode");
        assert_eq!(decide(gss, Some(&target("db.example.com", ""))), "refused: gssencmode");
        assert_eq!(decide(gss, Some(&target("localhost", ""))), "as given");
        assert_eq!(decide(TlsSettings { allow_insecure: true, ..gss }, Some(&target(AZURE, ""))), "as given");
    }

    #[test]
    fn a_password_of_the_callers_own_is_theirs_to_decide_about() {
        let own = TlsSettings { has_credentials: true, ..TlsSettings::default() };
        assert_eq!(decide(own, Some(&target("db.example.com", ""))), "as given");
        assert_eq!(decide(own, None), "as given");
        assert_eq!(decide(own, Some(&target(AZURE, ""))), "verify-full azure");
        assert_eq!(decide(TlsSettings { sslmode: Some("disable"), ..own }, Some(&target(AZURE, ""))), "as given");
    }

    #[test]
    fn what_the_caller_accepts_is_not_refused() {
        for mode in ["disable", "allow", "prefer", "nonsense"] {
            let settings = TlsSettings { sslmode: Some(mode), allow_insecure: true, ..TlsSettings::default() };
            assert_eq!(decide(settings, Some(&target(AZURE, ""))), "as given");
        }
        let settings = TlsSettings { allow_insecure: true, ..TlsSettings::default() };
        assert_eq!(decide(settings, Some(&target(AZURE, ""))), "verify-full azure");
    }
}
