//! Connection parameters, and the sources they come from.

use std::{fmt, path::PathBuf};

use crate::platform::{folders, variables};

/// A connection parameter, by libpq's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "PostgreSQL documents them: Parameter Key Words of libpq")]
pub enum Param {
    User,
    Password,
    Host,
    HostAddr,
    Port,
    DbName,
    Service,
    ServiceFile,
    SslMode,
    SslRootCert,
    GssEncMode,
    ConnectTimeout,
}

impl Param {
    /// All parameters, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::User,
        Self::Password,
        Self::Host,
        Self::HostAddr,
        Self::Port,
        Self::DbName,
        Self::Service,
        Self::ServiceFile,
        Self::SslMode,
        Self::SslRootCert,
        Self::GssEncMode,
        Self::ConnectTimeout,
    ];

    /// The keyword of a connection string.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Password => "password",
            Self::Host => "host",
            Self::HostAddr => "hostaddr",
            Self::Port => "port",
            Self::DbName => "dbname",
            Self::Service => "service",
            Self::ServiceFile => "servicefile",
            Self::SslMode => "sslmode",
            Self::SslRootCert => "sslrootcert",
            Self::GssEncMode => "gssencmode",
            Self::ConnectTimeout => "connect_timeout",
        }
    }

    /// The environment variable that libpq reads. `PGPASSWORD` is left out: it serves programs without Entra logins, and must
    /// not keep this one from obtaining a token.
    ///
    /// Source: PostgreSQL's documentation, "Environment Variables" of libpq.
    #[must_use]
    pub const fn variable(self) -> Option<&'static str> {
        match self {
            Self::User => Some(variables::PGUSER),
            Self::Password => None,
            Self::Host => Some(variables::PGHOST),
            Self::HostAddr => Some(variables::PGHOSTADDR),
            Self::Port => Some(variables::PGPORT),
            Self::DbName => Some(variables::PGDATABASE),
            Self::Service => Some(variables::PGSERVICE),
            Self::ServiceFile => Some(variables::PGSERVICEFILE),
            Self::SslMode => Some(variables::PGSSLMODE),
            Self::SslRootCert => Some(variables::PGSSLROOTCERT),
            Self::GssEncMode => Some(variables::PGGSSENCMODE),
            Self::ConnectTimeout => Some(variables::PGCONNECT_TIMEOUT),
        }
    }

    /// Whether it says what protects a connection.
    pub(super) const fn concerns_tls(self) -> bool {
        matches!(self, Self::SslMode | Self::SslRootCert | Self::GssEncMode)
    }

    /// The parameter of a keyword.
    #[must_use]
    pub fn of_keyword(keyword: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|param| param.keyword() == keyword)
    }
}

/// The parameters that one source gives.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params([Option<String>; Param::ALL.len()]);

impl Params {
    /// The value, which may be empty; `None` if the source does not have the parameter.
    #[must_use]
    pub fn get(&self, param: Param) -> Option<&str> {
        self.0[param as usize].as_deref()
    }

    /// Set a parameter.
    pub fn set(&mut self, param: Param, value: String) {
        self.0[param as usize] = Some(value);
    }
}

impl fmt::Debug for Params {
    /// Shows no password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |param| match param {
            Param::Password => self.get(param).map(|_| "****"),
            _ => self.get(param),
        };
        f.debug_map()
            .entries(Param::ALL.into_iter().filter_map(|param| Some((param.keyword(), shown(param)?))))
            .finish()
    }
}

impl<K: AsRef<str>, V: Into<String>> FromIterator<(K, V)> for Params {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut params = Self::default();
        for (keyword, value) in pairs {
            if let Some(param) = Param::of_keyword(keyword.as_ref()) {
                params.set(param, value.into());
            }
        }
        params
    }
}

/// An environment: the process's, or a test's.
pub trait Environment {
    /// A variable's value.
    fn var(&self, name: &str) -> Option<String>;

    /// The folder of the user's own settings for libpq.
    fn libpq_home(&self) -> Option<PathBuf>;
}

/// This process's environment, which libpq reads as well.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn libpq_home(&self) -> Option<PathBuf> {
        folders::libpq_home()
    }
}
