//! Where a connection goes.

use std::net::{IpAddr, Ipv6Addr};

use super::cloud::is_azure_server;

/// Hosts, addresses and ports, one for each attempt to connect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Host names as given.
    pub hosts: Vec<String>,
    /// Numeric addresses (`hostaddr`) that are connected to instead, one for each host.
    pub addresses: Vec<String>,
    /// Ports; one for each host, one for all, or none for the default.
    pub ports: Vec<String>,
    /// The driver treats a host that begins with `/` as a Unix socket.
    pub unix_sockets: bool,
}

impl Target {
    /// Whether any source names a place. If none does, the driver's default decides, which may be anything.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.hosts.iter().chain(&self.addresses).any(|place| !place.is_empty())
    }

    /// The names of the hosts that are not this machine.
    pub fn remote(&self) -> impl Iterator<Item = &str> {
        let names = if self.hosts.is_empty() { &self.addresses } else { &self.hosts };
        // If there is not one for each, libpq refuses to connect.
        let addresses = if self.addresses.len() == names.len() { &*self.addresses } else { &[] };
        names.iter().enumerate().filter_map(|(index, name)| {
            let address = addresses.get(index).filter(|address| !address.is_empty());
            (!self.is_local(address.unwrap_or(name)) || is_azure_server(name)).then_some(&**name)
        })
    }

    /// Whether every host has the name of an Azure server.
    #[must_use]
    pub fn is_azure_only(&self) -> bool {
        !self.hosts.is_empty() && self.hosts.iter().all(|host| is_azure_server(host))
    }

    /// Whether `host` is this machine: a Unix socket, `localhost` or a loopback address.
    ///
    /// A name that begins with `@` is not, although libpq connects to an abstract socket then: psycopg 3 and libpq before
    /// PostgreSQL 14 look it up. For a socket, libpq ignores what TLS we require.
    fn is_local(&self, host: &str) -> bool {
        let is_socket = self.unix_sockets && host.starts_with('/');
        let is_named_so = || ["localhost", "localhost."].iter().any(|name| host.eq_ignore_ascii_case(name));
        // Resolvers accept an interface after IPv6 addresses only, and treat anything else as a name.
        let is_loopback = || match host.split_once('%') {
            Some((address, _interface)) => address.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()),
            None => host.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        };
        host.is_empty() || is_socket || is_named_so() || is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn libpq(hosts: &[&str], addresses: &[&str]) -> Target {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Target { hosts: texts(hosts), addresses: texts(addresses), ports: vec![], unix_sockets: true }
    }

    #[test]
    fn this_machine_is_told_from_others() {
        for host in ["", "/run/postgresql", "localhost", "LocalHost.", "127.0.0.1", "127.9.8.7", "::1", "::1%lo"] {
            assert!(libpq(&[], &[]).is_local(host), "{host}");
        }
        // Names that a resolver may lead anywhere.
        for host in [
            "localhost.example.org",
            "127.0.0.1.example.org",
            "127.1",
            "127.0.0.1%lo",
            "0.0.0.0",
            "::",
            "10.0.0.1",
            "fe80::1%lo",
            "@abstract",
        ] {
            assert!(!libpq(&[], &[]).is_local(host), "{host}");
        }
        // pg8000 takes them for names.
        assert!(!Target::default().is_local("/run/postgresql"));
    }

    #[test]
    fn an_address_counts_instead_of_its_host_unless_that_is_azures() {
        let remote = |hosts, addresses| libpq(hosts, addresses).remote().map(ToOwned::to_owned).collect::<Vec<_>>();
        assert_eq!(remote(&["db.example.com"], &["127.0.0.1"]), [""; 0]);
        assert_eq!(remote(&["localhost"], &["10.0.0.5"]), ["localhost"]);
        assert_eq!(remote(&["db.example.com", "b"], &["127.0.0.1", ""]), ["b"]);
        assert_eq!(remote(&["db.example.com", "b"], &["127.0.0.1"]), ["db.example.com", "b"]);
        assert_eq!(remote(&["a.postgres.database.azure.com"], &["127.0.0.1"]), ["a.postgres.database.azure.com"]);
        assert_eq!(remote(&[], &["127.0.0.1", "10.0.0.5"]), ["10.0.0.5"]);
    }
}
