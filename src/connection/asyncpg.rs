//! Hosts and ports as asyncpg reads them.
//!
//! Source: `_parse_connect_dsn_and_args` and `_parse_hostlist` in asyncpg's `connect_utils.py`, versions 0.30 to 0.32. An
//! argument wins over the URL's authority, that over its query, that over a service (0.32, and only beside a URL), that over
//! the environment. A host list outside of the arguments may name ports, which only count if no port is given separately.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::params::Environment;
use crate::platform::variables;

/// The sources of hosts and ports, from the strongest to the weakest.
#[derive(Debug, Clone, Default)]
pub struct HostSources {
    /// The `host` argument; asyncpg does not split it.
    pub hosts: Vec<String>,
    /// The `port` argument: one, or one for each host.
    pub ports: Vec<String>,
    /// The host list in the URL's authority.
    pub authority: Option<String>,
    /// `host` and `port` in its query, then in a service.
    pub listed: [(Option<String>, Option<String>); 2],
}

/// Hosts, and a port for each.
pub type Endpoints = Vec<(String, String)>;

/// asyncpg refuses it, or reads it in a way that this module does not follow.
#[derive(Debug, PartialEq, Eq)]
pub struct Undetermined;

impl HostSources {
    /// Where asyncpg would connect; empty if no source names a host.
    ///
    /// # Errors
    /// [`Undetermined`].
    pub fn endpoints(self, environment: &dyn Environment) -> Result<Endpoints, Undetermined> {
        let Self { hosts, mut ports, authority, listed } = self;
        let variable = |name| environment.var(name).filter(|value| !value.is_empty());
        let default = || variable(variables::PGPORT).map_or_else(|| Ok(vec!["5432".to_owned()]), |list| numbers(&list));
        let mut paired = None;
        if let Some(list) = authority.filter(|list| hosts.is_empty() && !list.is_empty()) {
            paired = Some(host_list(&list, true, &ports, default)?);
        }
        let sources = listed.into_iter().chain([(variable(variables::PGHOST), None)]);
        for (host, port) in sources {
            if let Some(port) = port.filter(|port| paired.is_none() && ports.is_empty() && !port.is_empty()) {
                ports = numbers(&port)?;
            }
            if let Some(list) = host.filter(|list| paired.is_none() && hosts.is_empty() && !list.is_empty()) {
                paired = Some(host_list(&list, false, &ports, default)?);
            }
        }
        if let Some(paired) = paired {
            return Ok(paired);
        }
        if hosts.is_empty() {
            return Ok(Vec::new());
        }
        let ports = if ports.is_empty() { default()? } else { ports };
        let ports = one_each(ports, hosts.len())?;
        Ok(hosts.into_iter().zip(ports).collect())
    }
}

fn host_list(
    list: &str,
    encoded: bool,
    ports: &[String],
    default: impl Fn() -> Result<Vec<String>, Undetermined>,
) -> Result<Endpoints, Undetermined> {
    let specs: Vec<&str> = list.split(',').collect();
    let given = !ports.is_empty();
    let ports = one_each(if given { ports.to_vec() } else { default()? }, specs.len())?;
    let decoded = |text: &str| {
        if encoded {
            percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| Undetermined)
        } else {
            Ok(text.to_owned())
        }
    };
    specs
        .into_iter()
        .zip(ports)
        .map(|(spec, default)| {
            let (host, port) = if spec.starts_with('/') {
                (spec, "")
            } else if let Some(rest) = spec.strip_prefix('[') {
                let (host, rest) = rest.split_once(']').filter(|(host, _)| !host.is_empty()).ok_or(Undetermined)?;
                let digits = rest.strip_prefix(':').unwrap_or_default();
                (host, &digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())])
            } else if spec.is_empty() {
                return Err(Undetermined);
            } else {
                spec.split_once(':').unwrap_or((spec, ""))
            };
            let port = if given || port.is_empty() { default } else { number(&decoded(port)?)? };
            Ok((decoded(host)?, port))
        })
        .collect()
}

fn one_each(ports: Vec<String>, hosts: usize) -> Result<Vec<String>, Undetermined> {
    match &ports[..] {
        [port] => Ok(vec![port.clone(); hosts]),
        _ if ports.len() == hosts => Ok(ports),
        _ => Err(Undetermined),
    }
}

fn numbers(list: &str) -> Result<Vec<String>, Undetermined> {
    list.split(',').map(number).collect()
}

fn number(text: &str) -> Result<String, Undetermined> {
    text.trim().parse::<u16>().map(|port| port.to_string()).map_err(|_| Undetermined)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Variables(&'static [(&'static str, &'static str)]);

    impl Environment for Variables {
        fn var(&self, name: &str) -> Option<String> {
            self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        }

        fn libpq_home(&self) -> Option<PathBuf> {
            None
        }
    }

    fn read(host_sources: HostSources, variables: &'static [(&'static str, &'static str)]) -> String {
        match host_sources.endpoints(&Variables(variables)) {
            Ok(endpoints) => {
                endpoints.iter().map(|(host, port)| format!("{host} {port}")).collect::<Vec<_>>().join(", ")
            }
            Err(Undetermined) => "?".to_owned(),
        }
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    fn url(authority: &str, host: &str, port: &str) -> HostSources {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        HostSources {
            authority: given(authority),
            listed: [(given(host), given(port)), (None, None)],
            ..HostSources::default()
        }
    }

    #[test]
    fn the_strongest_source_wins() {
        assert_eq!(read(url("a", "localhost", ""), &[("PGHOST", "b")]), "a 5432");
        assert_eq!(read(url("", "b:5", ""), &[("PGHOST", "c")]), "b 5");
        assert_eq!(read(url("", "", ""), &[("PGHOST", "c:6")]), "c 6");
        assert_eq!(read(url("", "", ""), &[]), "");
        let argument = HostSources { hosts: texts(&["x:1"]), ..url("a:2", "b:3", "") };
        assert_eq!(read(argument, &[]), "x:1 5432");
    }

    #[test]
    fn ports_come_with_hosts_or_on_their_own() {
        assert_eq!(read(url("a:1,b", "", ""), &[]), "a 1, b 5432");
        assert_eq!(read(url("a:1,b", "", "9"), &[("PGPORT", "7")]), "a 1, b 7");
        assert_eq!(read(url("", "a:1,b", "9"), &[]), "a 9, b 9");
        assert_eq!(read(HostSources { ports: texts(&["8"]), ..url("a:1,b", "", "") }, &[]), "a 8, b 8");
        assert_eq!(read(HostSources { ports: texts(&["8"]), ..url("", "a", "9") }, &[]), "a 8");
        assert_eq!(read(url("a,b", "", ""), &[("PGPORT", "1,2")]), "a 1, b 2");
        assert_eq!(read(HostSources { ports: texts(&["1", "2", "3"]), ..url("a,b", "", "") }, &[]), "?");
        assert_eq!(read(url("a:x", "", ""), &[]), "?");
    }

    #[test]
    fn addresses_sockets_and_escapes() {
        assert_eq!(read(url("[::1]:7", "", ""), &[]), "::1 7");
        assert_eq!(read(url("[::1", "", ""), &[]), "?");
        assert_eq!(read(url("", "/run/x:1", ""), &[]), "/run/x:1 5432");
        assert_eq!(read(url("%2Frun%2Fx", "", ""), &[]), "/run/x 5432");
        assert_eq!(read(url("a,,b", "", ""), &[]), "?");
    }
}
