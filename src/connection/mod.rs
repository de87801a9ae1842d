//! The connection plan: what one login decides about its connection, and all that the driver is told.
//!
//! A decision is worth nothing where the driver reads the same settings in another way. So the plan is made once, from the
//! sources that the driver itself reads (see [`Driver`]), and what it rests on is passed to the driver explicitly: hosts,
//! addresses, ports, TLS and user. No service file, environment variable or default can then say otherwise. What cannot be
//! determined counts as another machine, to which a token only goes under `verify-full`.

pub mod asyncpg;
pub mod cloud;
pub mod params;
pub mod service_file;
pub mod target;
pub mod tls;

use self::{
    asyncpg::{HostSources, Undetermined},
    params::{Environment, Param, Params},
    service_file::Unresolved,
    target::Target,
    tls::{Roots, TlsRequirement, TlsSettings},
};
use crate::error::Error;

/// Which sources a driver reads, in which order, and what it is told.
///
/// | driver | sources, from the strongest | read in |
/// |---|---|---|
/// | libpq (psycopg 3, psycopg2) | keywords, connection string, service file, `PG*` variables | PostgreSQL's `fe-connect.c` |
/// | asyncpg | keywords, URL, service (beside a URL, 0.32), `PGHOST`, `PGPORT`, `PGUSER`, `PGSSLMODE`, `PGSSLROOTCERT` | its `connect_utils.py` |
/// | pg8000 | keywords; for it we read `PGUSER`, `PGSSLMODE`, `PGSSLROOTCERT` | its `core.py` |
///
/// `SQLAlchemy`'s dialects turn a URL into keywords of these drivers, which are what we see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// libpq, by its version number (`PQlibVersion`).
    Libpq(u32),
    /// asyncpg.
    Asyncpg,
    /// pg8000.
    Pg8000,
}

impl Driver {
    /// Whether the environment variable of a parameter counts.
    const fn reads_variable(self, param: Param) -> bool {
        match self {
            Self::Libpq(_) => true,
            // Its PGHOST and PGPORT are read with its host lists.
            Self::Asyncpg | Self::Pg8000 => matches!(param, Param::User | Param::SslMode | Param::SslRootCert),
        }
    }

    /// libpq knows GSSAPI encryption since PostgreSQL 12.
    const fn knows_gssencmode(self) -> bool {
        matches!(self, Self::Libpq(version) if version >= 120_000)
    }
}

/// What a caller says about a connection.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Keywords, and what the connection string says where they do not.
    pub arguments: Params,
    /// The section of a service, where the driver was asked for it.
    pub service: Option<Params>,
    /// asyncpg's host lists.
    pub host_sources: HostSources,
    /// A password that is not in `arguments`: an object that the driver takes for one.
    pub has_password: bool,
    /// The driver is handed a connected socket or the like: nobody knows where it leads.
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
    /// Where it goes; `None` where that cannot be determined.
    pub target: Option<Target>,
    /// User and password are both given: a plain login that needs no token.
    pub has_credentials: bool,
    /// What TLS must be like; `None` where the caller's settings stay as they are.
    pub tls: Option<TlsRequirement>,
    /// A service is named that could not be looked up.
    pub has_unresolved_service: bool,
}

impl ConnectionPlan {
    /// Decides.
    ///
    /// # Errors
    /// [`Error::InsecureTransport`]: the settings could send the token in the clear.
    pub fn new(driver: Driver, given: Given, environment: &dyn Environment) -> Result<Self, Error> {
        let Given { arguments, service, host_sources, has_password, is_opaque, allow_insecure } = given;
        let service = service.map(Ok).or_else(|| named_service(driver, &arguments, environment)).transpose();
        let has_unresolved_service = service == Err(Unresolved);
        let section = service.ok().flatten();
        let mut params = Params::default();
        for param in Param::ALL {
            let value = effective(driver, param, &arguments, section.as_ref(), environment);
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
            has_credentials,
            allow_insecure,
        }
        .requirement(target.as_ref())?;
        Ok(Self { driver, params, target, has_credentials, tls, has_unresolved_service })
    }

    /// A parameter's effective value, if any source gives one that is not empty.
    #[must_use]
    pub fn param(&self, param: Param) -> Option<&str> {
        self.params.get(param).filter(|value| !value.is_empty())
    }

    /// Seconds that connecting may take; libpq takes 0 and less for no limit.
    #[must_use]
    pub fn timeout(&self) -> Option<f64> {
        self.param(Param::ConnectTimeout)?.trim().parse().ok().filter(|seconds| *seconds > 0.0)
    }

    /// Scope of the tokens that the servers take.
    ///
    /// # Errors
    /// [`Error::AmbiguousScope`]: they take different ones.
    pub fn scope(&self) -> Result<&'static str, Error> {
        cloud::scope_of_servers(self.target.iter().flat_map(|target| &target.hosts).map(|host| &**host))
    }

    /// What a libpq connection is told beside user and password; an empty text blocks weaker sources.
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
                // The path is the binding's to fill in.
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

/// What libpq would read of the service that is named, if any.
fn named_service(
    driver: Driver,
    arguments: &Params,
    environment: &dyn Environment,
) -> Option<Result<Params, Unresolved>> {
    let Driver::Libpq(_) = driver else { return None };
    let name = arguments.get(Param::Service).map(str::to_owned).or_else(|| environment.var("PGSERVICE"))?;
    Some(service_file::lookup(&name, arguments.get(Param::ServiceFile), environment))
}

/// The value that a parameter has in the end.
///
/// In libpq an empty text counts as said, and the weaker sources are not asked; asyncpg asks them. For what decides about a
/// login (user, password, TLS) an empty text means nothing, so there the weaker sources are asked in any driver.
fn effective(
    driver: Driver,
    param: Param,
    arguments: &Params,
    service: Option<&Params>,
    environment: &dyn Environment,
) -> Option<String> {
    let is_place = matches!(param, Param::Host | Param::HostAddr | Param::Port);
    let empty_counts = is_place && matches!(driver, Driver::Libpq(_));
    let counts = |value: &&str| empty_counts || !value.is_empty();
    let given = arguments.get(param).filter(counts).or_else(|| service?.get(param).filter(counts));
    given.map(ToOwned::to_owned).or_else(|| {
        let variable = param.variable().filter(|_| driver.reads_variable(param))?;
        environment.var(variable).filter(|value| empty_counts || !value.is_empty())
    })
}

fn target(
    driver: Driver,
    params: &Params,
    arguments: &Params,
    has_unresolved_service: bool,
    host_sources: HostSources,
    environment: &dyn Environment,
) -> Option<Target> {
    let list = |param| match params.get(param) {
        None | Some("") => Vec::new(),
        Some(text) => text.split(',').map(ToOwned::to_owned).collect(),
    };
    match driver {
        Driver::Libpq(version) => {
            // What a service that nobody could look up says comes before the environment, and after the caller.
            let known =
                |param| if has_unresolved_service && arguments.get(param).is_none() { Vec::new() } else { list(param) };
            let may_be_elsewhere = has_unresolved_service && arguments.get(Param::Host).is_none();
            (!may_be_elsewhere).then(|| Target {
                hosts: list(Param::Host),
                // libpq is told of none, too, which keeps the service's from counting.
                addresses: known(Param::HostAddr),
                ports: known(Param::Port),
                unix_sockets: true,
                abstract_sockets: version >= 140_000,
            })
        }
        Driver::Asyncpg => match host_sources.endpoints(environment) {
            Ok(endpoints) => {
                let (hosts, ports) = endpoints.into_iter().unzip();
                Some(Target { hosts, addresses: vec![], ports, unix_sockets: true, abstract_sockets: false })
            }
            Err(Undetermined) => None,
        },
        // It takes a list for one name, which a resolver may lead anywhere.
        Driver::Pg8000 => Some(Target {
            hosts: params.get(Param::Host).filter(|host| !host.is_empty()).map(ToOwned::to_owned).into_iter().collect(),
            ports: list(Param::Port),
            ..Target::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AZURE: &str = "srv.postgres.database.azure.com";
    const LIBPQ: Driver = Driver::Libpq(180_000);

    struct Variables<'a>(&'a [(&'a str, &'a str)]);

    impl Environment for Variables<'_> {
        fn var(&self, name: &str) -> Option<String> {
            self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        }
    }

    fn plan(driver: Driver, arguments: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<ConnectionPlan, Error> {
        let arguments = arguments.iter().copied().collect();
        ConnectionPlan::new(driver, Given { arguments, ..Given::default() }, &Variables(variables))
    }

    fn driver_settings(plan: &ConnectionPlan) -> Vec<(&'static str, String)> {
        let settings = plan.libpq_settings();
        Param::ALL.into_iter().filter_map(|param| Some((param.keyword(), settings.get(param)?.to_owned()))).collect()
    }

    fn pairs(list: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        list.iter().map(|(keyword, value)| (*keyword, (*value).to_owned())).collect()
    }

    #[test]
    fn all_that_a_decision_rests_on_is_told() {
        let remote = plan(LIBPQ, &[("host", AZURE)], &[]).unwrap();
        let settings = [("host", AZURE), ("hostaddr", ""), ("sslmode", "verify-full"), ("gssencmode", "disable")];
        assert_eq!(driver_settings(&remote), pairs(&settings));
        let local = plan(LIBPQ, &[], &[("PGHOST", "localhost"), ("PGPORT", "7"), ("PGSSLMODE", "disable")]).unwrap();
        let settings = [("host", "localhost"), ("hostaddr", ""), ("port", "7"), ("sslmode", "disable")];
        assert_eq!(driver_settings(&local), pairs(&settings));
        let nowhere = plan(LIBPQ, &[("sslrootcert", "mine.pem")], &[]).unwrap();
        let settings = [
            ("host", ""),
            ("hostaddr", ""),
            ("sslmode", "verify-full"),
            ("sslrootcert", "mine.pem"),
            ("gssencmode", "disable"),
        ];
        assert_eq!(driver_settings(&nowhere), pairs(&settings));
    }

    #[test]
    fn gssencmode_is_not_told_to_a_libpq_that_does_not_know_it() {
        let old = plan(Driver::Libpq(110_000), &[("host", AZURE)], &[]).unwrap();
        assert!(driver_settings(&old).iter().all(|(keyword, _)| *keyword != "gssencmode"));
    }

    #[test]
    fn in_libpq_an_empty_host_hides_the_environment() {
        let plan = plan(LIBPQ, &[("host", ""), ("user", "")], &[("PGHOST", AZURE), ("PGUSER", "ada")]).unwrap();
        assert_eq!(plan.target.as_ref().map(|target| &*target.hosts), Some(&[][..]));
        assert_eq!(plan.param(Param::User), Some("ada"));
    }

    #[test]
    fn a_service_that_cannot_be_looked_up_may_lead_anywhere() {
        let missing = [("PGSERVICE", "mine"), ("PGSERVICEFILE", "/nonexistent"), ("PGHOST", "localhost")];
        let unknown = plan(LIBPQ, &[], &missing).unwrap();
        assert!(unknown.target.is_none() && unknown.has_unresolved_service);
        assert_eq!(driver_settings(&unknown), pairs(&[("sslmode", "verify-full"), ("gssencmode", "disable")]));
        assert!(plan(LIBPQ, &[("sslmode", "prefer")], &missing).is_err());
        // What the caller names wins over a service, whatever that says.
        let known = plan(LIBPQ, &[("host", "localhost")], &missing).unwrap();
        assert_eq!(driver_settings(&known), pairs(&[("host", "localhost"), ("hostaddr", "")]));
        // And that wins over the environment.
        let with_port = [&missing[..], &[("PGPORT", "7")]].concat();
        let known = plan(LIBPQ, &[("host", "localhost")], &with_port).unwrap();
        assert_eq!(driver_settings(&known), pairs(&[("host", "localhost"), ("hostaddr", "")]));
    }

    #[test]
    fn each_driver_has_its_own_variables() {
        let variables =
            [("PGHOST", "localhost"), ("PGHOSTADDR", "127.0.0.1"), ("PGSSLMODE", "require"), ("PGUSER", "ada")];
        let hosts = |driver| {
            let plan = plan(driver, &[], &variables).unwrap();
            assert_eq!(plan.param(Param::User), Some("ada"));
            assert_eq!(plan.param(Param::SslMode), Some("require"));
            let target = plan.target.unwrap();
            (target.hosts, target.addresses)
        };
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(hosts(LIBPQ), (texts(&["localhost"]), texts(&["127.0.0.1"])));
        assert_eq!(hosts(Driver::Asyncpg), (texts(&["localhost"]), texts(&[])));
        assert_eq!(hosts(Driver::Pg8000), (texts(&[]), texts(&[])));
    }

    #[test]
    fn a_plain_login_stays_as_it_is() {
        let own = plan(LIBPQ, &[("host", "db.example.com"), ("user", "ada"), ("password", "x")], &[]).unwrap();
        assert!(own.has_credentials && driver_settings(&own).is_empty());
        let azure = plan(LIBPQ, &[("host", AZURE), ("user", "ada"), ("password", "x")], &[]).unwrap();
        assert_eq!(driver_settings(&azure), pairs(&[("sslmode", "verify-full")]));
        assert!(!plan(LIBPQ, &[("host", AZURE), ("password", "x")], &[]).unwrap().has_credentials);
        // For programs that ask for no Entra login.
        assert!(!plan(LIBPQ, &[("host", AZURE), ("user", "ada")], &[("PGPASSWORD", "x")]).unwrap().has_credentials);
    }

    #[test]
    fn the_limit_is_a_number_of_seconds() {
        let timeout = |value| plan(LIBPQ, &[("connect_timeout", value)], &[]).unwrap().timeout();
        assert_eq!(timeout("7"), Some(7.0));
        assert_eq!(timeout(" 0.5 "), Some(0.5));
        for none in ["0", "-1", "soon", ""] {
            assert_eq!(timeout(none), None, "{none}");
        }
    }
}
