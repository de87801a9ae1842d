//! The Azure clouds: which scope a token needs, and who issues it.
//!
//! Sources: Microsoft's lists of endpoints for Azure Government and Azure China, and "Use Microsoft Entra ID for
//! authentication with Azure Database for PostgreSQL".

use crate::{error::Error, platform::variables::AZURE_AUTHORITY_HOST};

/// One of Azure's sovereign clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Azure, worldwide.
    Public,
    /// Azure for the US Government.
    UsGovernment,
    /// Azure in China, operated by 21Vianet.
    China,
}

impl Cloud {
    const ALL: [Self; 3] = [Self::Public, Self::UsGovernment, Self::China];

    /// Scope of tokens that Azure Database for PostgreSQL accepts as passwords.
    #[must_use]
    pub const fn database_scope(self) -> &'static str {
        match self {
            Self::Public => "https://ossrdbms-aad.database.windows.net/.default",
            Self::UsGovernment => "https://ossrdbms-aad.database.usgovcloudapi.net/.default",
            Self::China => "https://ossrdbms-aad.database.chinacloudapi.cn/.default",
        }
    }

    /// Scope of Azure Resource Manager, whose tokens name managed identities that database tokens do not name.
    #[must_use]
    pub const fn management_scope(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com/.default",
            Self::UsGovernment => "https://management.usgovcloudapi.net/.default",
            Self::China => "https://management.chinacloudapi.cn/.default",
        }
    }

    const fn server_suffix(self) -> &'static str {
        match self {
            Self::Public => ".postgres.database.azure.com",
            Self::UsGovernment => ".postgres.database.usgovcloudapi.net",
            Self::China => ".postgres.database.chinacloudapi.cn",
        }
    }

    const fn authorities(self) -> &'static [&'static str] {
        match self {
            Self::Public => &["login.microsoftonline.com"],
            Self::UsGovernment => &["login.microsoftonline.us"],
            Self::China => &["login.chinacloudapi.cn", "login.partner.microsoftonline.cn"],
        }
    }

    /// The cloud whose database servers have names like `host`, if any.
    #[must_use]
    pub fn of_server(host: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| is_named_like(host, cloud.server_suffix()))
    }

    /// The cloud that an authority such as `https://login.microsoftonline.us/` or a bare host name belongs to.
    #[must_use]
    pub fn of_authority(authority: &str) -> Option<Self> {
        let host = authority.trim().trim_start_matches("https://");
        let host = host.split('/').next().unwrap_or_default().to_ascii_lowercase();
        Self::ALL.into_iter().find(|cloud| cloud.authorities().contains(&host.as_str()))
    }

    /// The cloud that `AZURE_AUTHORITY_HOST` names; the public cloud if it is not set or names no known cloud.
    #[must_use]
    pub fn of_environment() -> Self {
        let named = std::env::var(AZURE_AUTHORITY_HOST).ok();
        named.and_then(|authority| Self::of_authority(&authority)).unwrap_or(Self::Public)
    }

    /// The cloud whose database tokens have this scope.
    #[must_use]
    pub fn of_scope(scope: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| cloud.database_scope() == scope)
    }
}

/// Azure Cosmos DB for PostgreSQL, which is in the public cloud only.
///
/// Source: Microsoft's "Use Microsoft Entra ID and native PostgreSQL roles for authentication with Azure Cosmos DB for
/// PostgreSQL".
const COSMOS_SUFFIX: &str = ".postgres.cosmos.azure.com";
const COSMOS_SCOPE: &str = "https://token.postgres.cosmos.azure.com/.default";

/// Whether a host has the name of a PostgreSQL server of Azure, in any cloud.
#[must_use]
pub fn is_azure_server(host: &str) -> bool {
    scope_of_server(host).is_some()
}

/// Whether tokens of this scope are for Azure Database for PostgreSQL, in any cloud, and for nothing else.
#[must_use]
pub fn is_database_scope(scope: &str) -> bool {
    scope == COSMOS_SCOPE || Cloud::of_scope(scope).is_some()
}

/// Scope of the tokens that an Azure server accepts.
fn scope_of_server(host: &str) -> Option<&'static str> {
    if is_named_like(host, COSMOS_SUFFIX) {
        return Some(COSMOS_SCOPE);
    }
    Cloud::of_server(host).map(Cloud::database_scope)
}

fn is_named_like(host: &str, suffix: &str) -> bool {
    let host = host.trim_end_matches('.').as_bytes();
    host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
}

/// Scope of the tokens that these servers accept: by their names, else by `AZURE_AUTHORITY_HOST`, else the public cloud's.
///
/// # Errors
/// [`Error::AmbiguousScope`]: no token is valid for all of them.
pub fn scope_of_servers<'host>(hosts: impl IntoIterator<Item = &'host str>) -> Result<&'static str, Error> {
    let mut scope = None;
    for other in hosts.into_iter().filter_map(scope_of_server) {
        if scope.is_some_and(|scope| scope != other) {
            return Err(Error::AmbiguousScope);
        }
        scope = Some(other);
    }
    Ok(scope.unwrap_or_else(|| Cloud::of_environment().database_scope()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_name_tells_its_cloud() {
        for (host, cloud) in [
            ("a.postgres.database.azure.com", Some(Cloud::Public)),
            ("A.Postgres.Database.Azure.Com.", Some(Cloud::Public)),
            ("a.postgres.database.usgovcloudapi.net", Some(Cloud::UsGovernment)),
            ("a.postgres.database.chinacloudapi.cn", Some(Cloud::China)),
            ("postgres.database.azure.com.example.org", None),
            ("evilpostgres.database.azure.com", None),
            (".postgres.database.azure.com", None),
            ("localhost", None),
        ] {
            assert_eq!(Cloud::of_server(host), cloud, "{host}");
        }
    }

    #[test]
    fn a_server_name_tells_the_scope() {
        let public = Cloud::Public.database_scope();
        for (hosts, scope) in [
            (&["c-orders.abc123.postgres.cosmos.azure.com"][..], Some(COSMOS_SCOPE)),
            (&["C-Orders.abc123.Postgres.Cosmos.Azure.Com."], Some(COSMOS_SCOPE)),
            (&["postgres.cosmos.azure.com.example.org"], Some(public)),
            (&["a.postgres.database.azure.com", "localhost"], Some(public)),
            (&["a.postgres.database.azure.com", "b.postgres.database.chinacloudapi.cn"], None),
            (&["a.postgres.database.azure.com", "b.postgres.cosmos.azure.com"], None),
        ] {
            assert_eq!(scope_of_servers(hosts.iter().copied()).ok(), scope, "{hosts:?}");
        }
        assert!(is_azure_server("c-orders.abc123.postgres.cosmos.azure.com") && !is_azure_server("db.example.com"));
    }

    #[test]
    fn an_authority_tells_its_cloud() {
        for (authority, cloud) in [
            ("https://login.microsoftonline.com", Some(Cloud::Public)),
            ("login.microsoftonline.us", Some(Cloud::UsGovernment)),
            ("https://login.partner.microsoftonline.cn/", Some(Cloud::China)),
            ("https://login.chinacloudapi.cn/tenant", Some(Cloud::China)),
            ("https://127.0.0.1:8443", None),
        ] {
            assert_eq!(Cloud::of_authority(authority), cloud, "{authority}");
        }
    }

    #[test]
    fn a_scope_tells_its_cloud() {
        for cloud in Cloud::ALL {
            assert_eq!(Cloud::of_scope(cloud.database_scope()), Some(cloud));
            assert!(is_database_scope(cloud.database_scope()) && !is_database_scope(cloud.management_scope()));
        }
        assert!(is_database_scope(COSMOS_SCOPE));
        assert_eq!(Cloud::of_scope("https://storage.azure.com/.default"), None);
    }
}
