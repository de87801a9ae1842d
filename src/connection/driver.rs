//! What each driver reads, and in which order.

use super::{
    asyncpg::{HostSources, Undetermined},
    params::{Environment, Param, Params},
    service_file::{self, Unresolved},
    target::Target,
};
use crate::platform::variables;

/// A driver, by the sources that it reads.
///
/// | driver | sources, from the strongest | read in |
/// |---|---|---|
/// | libpq (psycopg 3, psycopg2) | keywords, connection string, service file, `PG*` variables | PostgreSQL's `fe-connect.c` |
/// | asyncpg | keywords, URL, service (beside a URL, 0.32), `PGHOST`, `PGPORT`, `PGUSER`, `PGSSLMODE`, `PGSSLROOTCERT` | its `connect_utils.py` |
/// | pg8000 | keywords; for it we read `PGUSER`, `PGSSLMODE`, `PGSSLROOTCERT` | its `core.py` |
///
/// `SQLAlchemy`'s dialects turn a URL into keywords of these drivers, which is what the plan sees.
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
    /// Whether it reads the environment variable of a parameter.
    pub(super) const fn reads_variable(self, param: Param) -> bool {
        match self {
            Self::Libpq(_) => true,
            // Its PGHOST and PGPORT are read with its host lists.
            Self::Asyncpg | Self::Pg8000 => matches!(param, Param::User | Param::SslMode | Param::SslRootCert),
        }
    }

    /// Seconds that connecting may take by the driver's own default, which includes obtaining the token here; `None` for no
    /// limit.
    pub(super) const fn default_timeout(self) -> Option<f64> {
        match self {
            Self::Asyncpg => Some(60.0),
            Self::Libpq(_) | Self::Pg8000 => None,
        }
    }

    /// libpq knows GSSAPI encryption since PostgreSQL 12.
    pub(super) const fn knows_gssencmode(self) -> bool {
        matches!(self, Self::Libpq(version) if version >= 120_000)
    }
}

/// The section that libpq would read, if a service is named.
pub(super) fn named_service(
    driver: Driver,
    arguments: &Params,
    environment: &dyn Environment,
) -> Option<Result<Params, Unresolved>> {
    let Driver::Libpq(_) = driver else { return None };
    let name = arguments.get(Param::Service).map(str::to_owned).or_else(|| environment.var(variables::PGSERVICE))?;
    Some(service_file::lookup(&name, arguments.get(Param::ServiceFile), environment))
}

/// The effective value of a parameter.
///
/// In libpq, an empty place (host, address, port) overrides weaker sources; in asyncpg it does not. An empty user, password or
/// TLS setting overrides nothing, whatever the driver.
pub(super) fn effective(
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

/// Where the driver will connect; `None` if that cannot be determined.
pub(super) fn target(
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
        Driver::Libpq(_) => {
            // A service whose section is unknown is stronger than the environment, and weaker than the caller.
            let known =
                |param| if has_unresolved_service && arguments.get(param).is_none() { Vec::new() } else { list(param) };
            let may_be_elsewhere = has_unresolved_service && arguments.get(Param::Host).is_none();
            (!may_be_elsewhere).then(|| Target {
                hosts: list(Param::Host),
                // libpq gets the empty list as well, which overrides the service's.
                addresses: known(Param::HostAddr),
                ports: known(Param::Port),
                unix_sockets: true,
            })
        }
        Driver::Asyncpg => match host_sources.endpoints(environment) {
            Ok(endpoints) => {
                let (hosts, ports) = endpoints.into_iter().unzip();
                Some(Target { hosts, addresses: vec![], ports, unix_sockets: true })
            }
            Err(Undetermined) => None,
        },
        // It treats a list as one name, which a resolver may lead anywhere.
        Driver::Pg8000 => Some(Target {
            hosts: params.get(Param::Host).filter(|host| !host.is_empty()).map(ToOwned::to_owned).into_iter().collect(),
            ports: list(Param::Port),
            ..Target::default()
        }),
    }
}
