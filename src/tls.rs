//! Whether a token may travel on a wire.
//!
//! A token is a password that whoever reads it can use until it expires. So a connection to another machine has TLS, one to
//! an Azure host verifies the server too, and settings that say otherwise are refused before a token is asked for.

use std::{borrow::Cow, net::IpAddr};

use crate::{cloud::Cloud, error::Error};

/// Libpq's modes that never go on without TLS.
const ENCRYPTING: [&str; 3] = ["require", "verify-ca", "verify-full"];

/// What a caller said that decides about the transport.
#[derive(Debug, Default)]
pub struct Route {
    /// Host names as given; none for the driver's own default, a local socket.
    pub hosts: Vec<String>,
    /// Numeric addresses (`hostaddr`) that are connected to instead, one for each host.
    pub addresses: Vec<String>,
    /// Libpq's.
    pub sslmode: Option<String>,
    /// `sslrootcert` was given.
    pub has_roots: bool,
    /// User and password were both given: no token is sent.
    pub complete: bool,
}

/// What a connection must have, so that its token is safe.
#[derive(Debug, PartialEq, Eq)]
pub struct Protection {
    /// Libpq's.
    pub sslmode: Cow<'static, str>,
    /// The server is verified against Azure's roots.
    pub azure_roots: bool,
}

impl Route {
    /// What the connection must have; `None` where the caller's settings stay as they are.
    ///
    /// # Errors
    /// [`Error::InsecureTransport`] if the settings forbid it and `allow_insecure` does not allow that.
    pub fn protection(&self, allow_insecure: bool) -> Result<Option<Protection>, Error> {
        let mut exposed = self.exposed().peekable();
        let Some(first) = exposed.peek().copied() else { return Ok(None) };
        let to_azure = exposed.any(is_azure_server);
        if self.complete && (self.sslmode.is_some() || !to_azure) {
            // A password of the caller's own: theirs to decide about.
            return Ok(None);
        }
        let sslmode = match &self.sslmode {
            None if to_azure => "verify-full".into(),
            None => "require".into(),
            Some(mode) if ENCRYPTING.contains(&&**mode) => Cow::Owned(mode.clone()),
            Some(_) if allow_insecure => return Ok(None),
            Some(mode) => return Err(Error::InsecureTransport { sslmode: mode.clone(), host: first.to_owned() }),
        };
        let verifies = sslmode.starts_with("verify-");
        let azure_roots = verifies && !self.has_roots && self.hosts.iter().all(|host| is_azure_server(host));
        Ok(Some(Protection { sslmode, azure_roots }))
    }

    /// The names of the hosts that are not this machine.
    fn exposed(&self) -> impl Iterator<Item = &str> {
        let names = if self.hosts.is_empty() { &self.addresses } else { &self.hosts };
        // Where there is not one for each, libpq refuses to connect.
        let addresses = if self.addresses.len() == names.len() { &*self.addresses } else { &[] };
        names.iter().enumerate().filter_map(|(index, name)| {
            let address = addresses.get(index).filter(|address| !address.is_empty());
            (!is_local(address.unwrap_or(name)) || is_azure_server(name)).then_some(&**name)
        })
    }
}

/// Whether a host is named like an Azure Database for PostgreSQL, in any cloud.
#[must_use]
pub fn is_azure_server(host: &str) -> bool {
    Cloud::of_server(host).is_some()
}

/// Whether `host` is this machine: a Unix socket, `localhost` or a loopback address.
fn is_local(host: &str) -> bool {
    let is_named_so = || ["localhost", "localhost."].iter().any(|name| host.eq_ignore_ascii_case(name));
    let address = host.split_once('%').map_or(host, |(address, _interface)| address);
    let is_loopback = || address.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    host.is_empty() || host.starts_with(['/', '@']) || is_named_so() || is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_others() {
        for host in
            ["", "/run/postgresql", "@abstract", "localhost", "LocalHost.", "127.0.0.1", "127.9.8.7", "::1", "::1%lo"]
        {
            assert!(is_local(host), "{host}");
        }
        // Names that a resolver may take for anything.
        for host in
            ["localhost.example.org", "127.0.0.1.example.org", "127.1", "0.0.0.0", "::", "10.0.0.1", "fe80::1%lo"]
        {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn an_address_counts_instead_of_its_host_unless_that_is_azures() {
        let exposed = |hosts: &[&str], addresses: &[&str]| {
            let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
            let route = Route { hosts: texts(hosts), addresses: texts(addresses), ..Route::default() };
            route.exposed().map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(exposed(&["db.example.com"], &["127.0.0.1"]), [""; 0]);
        assert_eq!(exposed(&["localhost"], &["10.0.0.5"]), ["localhost"]);
        assert_eq!(exposed(&["db.example.com", "b"], &["127.0.0.1", ""]), ["b"]);
        assert_eq!(exposed(&["db.example.com", "b"], &["127.0.0.1"]), ["db.example.com", "b"]);
        assert_eq!(exposed(&["a.postgres.database.azure.com"], &["127.0.0.1"]), ["a.postgres.database.azure.com"]);
        assert_eq!(exposed(&[], &["127.0.0.1", "10.0.0.5"]), ["10.0.0.5"]);
    }
}
