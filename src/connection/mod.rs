//! The connection plan: what one login decides about its connection, and everything that the driver is given.
//!
//! A decision is worth nothing if the driver reads the same settings in another way. So the plan is made once, from the
//! sources that the driver itself reads (see [`Driver`]), and what it rests on is passed to the driver explicitly: hosts,
//! addresses, ports, TLS and user. No service file, environment variable or default can then say otherwise. What cannot be
//! determined counts as another machine, to which a token only goes under `verify-full`.

pub mod asyncpg;
pub mod cloud;
mod driver;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod params;
pub mod service_file;
pub mod target;
#[cfg(test)]
mod tests;
pub mod tls;

use std::time::Duration;

pub use self::driver::Driver;
use self::{
    asyncpg::HostSources,
    driver::{effective, named_service, target},
    params::{Environment, Param, Params},
    service_file::Unresolved,
    target::Target,
    tls::{Roots, TlsRequirement, TlsSettings},
};
use crate::error::Error;

/// The caller's settings of a connection.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Keywords, and the parameters of the connection string that they do not override.
    pub arguments: Params,
    /// The section of a service, if the caller has read it.
    pub service: Option<Params>,
    /// asyncpg's host lists.
    pub host_sources: HostSources,
    /// There is a password that is not in `arguments`: an object that the driver accepts as one.
    pub has_password: bool,
    /// The driver gets a connected socket or the like, so the target is unknown.
    pub is_opaque: bool,
    /// The caller accepts a connection that TLS does not protect.
    pub allow_insecure: bool,
}

/// The decisions of one login.
#[derive(Debug, Clone)]
pub struct ConnectionPlan {
    driver: Driver,
    /// The effective value of every parameter.
    pub params: Params,
    /// Where it goes; `None` if that cannot be determined.
    pub target: Option<Target>,
    /// User and password are both given: a plain login that needs no token.
    pub has_credentials: bool,
    /// What TLS must provide; `None` if the caller's settings apply unchanged.
    pub tls: Option<TlsRequirement>,
    /// A service is named, but its section could not be read.
    pub has_unresolved_service: bool,
}

impl ConnectionPlan {
    /// Decide about one connection.
    ///
    /// # Errors
    /// [`Error::InsecureTransport`]: the settings could send the token unencrypted.
    pub fn new(driver: Driver, given: Given, environment: &dyn Environment) -> Result<Self, Error> {
        let Given { arguments, service, host_sources, has_password, is_opaque, allow_insecure } = given;
        let service = service.map(Ok).or_else(|| named_service(driver, &arguments, environment)).transpose();
        let has_unresolved_service = service == Err(Unresolved);
        let section = service.ok().flatten();
        let mut params = Params::default();
        for param in Param::ALL {
            // What protects the connection is the service's to say before the environment's.
            let is_unknown = has_unresolved_service && param.concerns_tls() && arguments.get(param).is_none();
            let value = effective(driver, param, &arguments, section.as_ref(), environment).filter(|_| !is_unknown);
            if let Some(value) = value {
                params.set(param, value);
            }
        }
        let target = if is_opaque {
            None
        } else {
            target(driver, &params, &arguments, has_unresolved_service, host_sources, environment)
        };
        let given_value = |param| params.get(param).filter(|value: &&str| !value.is_empty());
        let has_credentials =
            given_value(Param::User).is_some() && (has_password || given_value(Param::Password).is_some());
        let tls = TlsSettings {
            sslmode: given_value(Param::SslMode),
            sslrootcert: given_value(Param::SslRootCert),
            gssencmode: given_value(Param::GssEncMode),
            may_be_stricter: has_unresolved_service,
            has_credentials,
            allow_insecure,
        }
        .requirement(target.as_ref())?;
        Ok(Self { driver, params, target, has_credentials, tls, has_unresolved_service })
    }

    /// The effective value of a parameter; `None` if no source gives one that is not empty.
    #[must_use]
    pub fn param(&self, param: Param) -> Option<&str> {
        self.params.get(param).filter(|value| !value.is_empty())
    }

    /// Seconds that connecting may take, by default the driver's own limit; `None` for no limit, which 0 and less mean to libpq.
    /// What is no time counts as not given.
    #[must_use]
    pub fn timeout(&self) -> Option<f64> {
        let given = self.param(Param::ConnectTimeout).and_then(|text| text.trim().parse().ok());
        let is_time = |seconds: &f64| Duration::try_from_secs_f64(*seconds).is_ok_and(|timeout| !timeout.is_zero());
        given.filter(is_time).or(self.driver.default_timeout())
    }

    /// Scope of the tokens that the servers accept.
    ///
    /// # Errors
    /// [`Error::AmbiguousScope`]: the servers belong to different clouds.
    pub fn scope(&self) -> Result<&'static str, Error> {
        cloud::scope_of_servers(self.target.iter().flat_map(|target| &target.hosts).map(|host| &**host))
    }

    /// The parameters of a libpq connection besides user and password; an empty one blocks weaker sources.
    ///
    /// Source: `conninfo_add_defaults` in PostgreSQL's `fe-connect.c` fills in only what a connection string does not name.
    #[must_use]
    pub fn libpq_settings(&self) -> Params {
        let mut settings = Params::default();
        let mut set = |param: Param, value: &str| settings.set(param, value.to_owned());
        if let Some(TlsRequirement { sslmode, roots }) = &self.tls {
            set(Param::SslMode, sslmode);
            match roots {
                Some(Roots::File(file)) => set(Param::SslRootCert, file),
                Some(Roots::System) => set(Param::SslRootCert, "system"),
                // The binding knows the path and fills it in.
                Some(Roots::Azure) | None => {}
            }
        }
        if self.has_credentials {
            return settings;
        }
        if let Some(target) = &self.target {
            set(Param::Host, &target.hosts.join(","));
            set(Param::HostAddr, &target.addresses.join(","));
            if !target.ports.is_empty() {
                set(Param::Port, &target.ports.join(","));
            }
        }
        if self.tls.is_none()
            && let Some(mode) = self.param(Param::SslMode)
        {
            set(Param::SslMode, mode);
        }
        if self.tls.is_some() && self.driver.knows_gssencmode() {
            set(Param::GssEncMode, "disable");
        }
        settings
    }
}
