//! Options of a credential's requests: another tenant, claims, proxies and other options of the HTTP client.

use std::{hash::Hasher, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{TenantId, TokenSource, defect::Defect};
use crate::{
    cache::FetchedToken,
    error::{Attempt, Error, Status},
    login::claims::Claims,
};

/// The proxy for requests to Entra ID, instead of the environment's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxy {
    /// No proxy.
    Direct,
    /// The proxy at this URL.
    Through(String),
}

impl Proxy {
    /// Read the URL of a proxy; `http://` may be omitted.
    ///
    /// # Errors
    /// It is not an http URL. The text does not show it, because it may hold a password.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let url = proxy_url("proxies", text).map_err(|defect| Error::InvalidArgument(defect.to_string()))?;
        Ok(Self::Through(url))
    }
}

/// The URL of a proxy, in which `http://` may be omitted; `name` is that of the argument or variable.
///
/// # Errors
/// It is not an http URL.
pub fn proxy_url(name: &str, text: &str) -> Result<String, Defect> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    super::transport::parse_endpoint(name, &url).map_err(|_| no_proxy_url(name))?;
    Ok(url)
}

/// The defect of a proxy's URL. It does not show the value, which may hold a password.
pub fn no_proxy_url(name: &str) -> Defect {
    Defect {
        problem: format!("{name}: expected the URL of an HTTP proxy"),
        remedy: "give one such as \"http://proxy.example.com:3128\"",
    }
}

/// Options of a credential's HTTP client, and the tenants it may be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientOptions {
    /// By default the environment's. Managed identity uses none.
    pub proxy: Option<Proxy>,
    /// File or directory with the certification authorities that are trusted, instead of the environment's.
    pub ca_bundle: Option<String>,
    /// How long a TCP and TLS handshake may take.
    pub connect_timeout: Option<Duration>,
    /// How long the service may send nothing.
    pub read_timeout: Option<Duration>,
    /// Tenants that tokens may be requested in, besides the credential's own.
    pub additional_tenants: AllowedTenants,
}

/// Tenants that tokens may be requested in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedTenants {
    /// All of them.
    All,
    /// Those that are listed.
    Listed(Vec<TenantId>),
}

impl Default for AllowedTenants {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl AllowedTenants {
    /// Read a list of tenants, in which `*` stands for all; `name` is that of the argument.
    ///
    /// # Errors
    /// As [`TenantId::parse`].
    pub fn parse(name: &str, tenants: &[String]) -> Result<Self, Defect> {
        let named = tenants.iter().filter(|tenant| *tenant != "*");
        let listed = named.map(|tenant| TenantId::parse(name, tenant)).collect::<Result<Vec<_>, _>>()?;
        Ok(if listed.len() < tenants.len() { Self::All } else { Self::Listed(listed) })
    }

    fn allow(&self, tenant_id: &TenantId) -> bool {
        match self {
            Self::All => true,
            Self::Listed(listed) => listed.iter().any(|tenant| tenant.eq_ignore_ascii_case(tenant_id)),
        }
    }
}

tokio::task_local! {
    static OPTIONS: Arc<ClientOptions>;
    static CLAIMS: Arc<str>;
}

/// The options of the credential that is fetching.
pub fn options() -> Arc<ClientOptions> {
    // Err: it has no options.
    OPTIONS.try_with(Arc::clone).unwrap_or_default()
}

/// The claims that the token must satisfy.
pub fn claims() -> Option<Arc<str>> {
    CLAIMS.try_with(Arc::clone).ok()
}

/// The same credential with options.
#[must_use]
pub fn configured(source: Arc<dyn TokenSource>, options: Arc<ClientOptions>) -> Arc<dyn TokenSource> {
    Arc::new(Configured { source, options })
}

/// A credential with options.
#[derive(Debug)]
struct Configured {
    source: Arc<dyn TokenSource>,
    options: Arc<ClientOptions>,
}

#[async_trait]
impl TokenSource for Configured {
    fn name(&self) -> &'static str {
        self.source.name()
    }

    fn description(&self) -> String {
        self.source.description()
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        OPTIONS.scope(Arc::clone(&self.options), self.source.fetch(scope, deadline)).await
    }

    async fn fetch_late(&self, scope: &str, deadline: Instant) -> Option<Result<FetchedToken, Error>> {
        OPTIONS.scope(Arc::clone(&self.options), self.source.fetch_late(scope, deadline)).await
    }

    fn as_link(&self) -> Option<Arc<dyn TokenSource>> {
        self.source.as_link().map(|link| configured(link, Arc::clone(&self.options)))
    }

    fn in_tenant(&self, tenant_id: &TenantId, allowed: bool) -> Option<Arc<dyn TokenSource>> {
        let source = self.source.in_tenant(tenant_id, allowed || self.options.additional_tenants.allow(tenant_id))?;
        Some(configured(source, Arc::clone(&self.options)))
    }

    fn is_shareable(&self) -> bool {
        self.source.is_shareable()
    }

    fn fingerprint(&self, state: &mut dyn Hasher) {
        self.source.fingerprint(state);
    }

    fn attempts(&self) -> Vec<Attempt> {
        self.source.attempts()
    }

    fn hands_over(&self, error: &Error) -> bool {
        self.source.hands_over(error)
    }
}

/// Whether an application or tool of the tenant `own` may request a token in another; azure-identity's rule.
pub(super) fn may_serve(own: Option<&TenantId>, tenant_id: &TenantId, allowed: bool) -> bool {
    allowed || own.is_none_or(|own| **own == *"organizations" || own.eq_ignore_ascii_case(tenant_id))
}

/// The same credential for tokens of a tenant. A credential with one tenant is asked as well, and its token checked: Azure's
/// clients name the tenant of their resource, which is mostly the credential's own.
#[must_use]
pub fn in_tenant(source: Arc<dyn TokenSource>, tenant_id: &TenantId, allowed: bool) -> Arc<dyn TokenSource> {
    let other = source.in_tenant(tenant_id, allowed);
    other.unwrap_or_else(|| Arc::new(OwnTenant { source, tenant_id: tenant_id.clone() }))
}

/// A credential of one tenant, whose tokens are checked to be this tenant's.
#[derive(Debug)]
struct OwnTenant {
    source: Arc<dyn TokenSource>,
    tenant_id: TenantId,
}

impl OwnTenant {
    /// Check that a token is the tenant's.
    fn checked(&self, token: FetchedToken) -> Result<FetchedToken, Error> {
        let claims = Claims::of_token(token.secret.expose());
        let own = claims.as_ref().ok().and_then(|claims| claims.text("tid"));
        if own.is_some_and(|own| own.eq_ignore_ascii_case(&self.tenant_id)) {
            return Ok(token);
        }
        let reason = format!(
            "tenant_id={} was requested, but it gives tokens of tenant {} only",
            self.tenant_id,
            own.unwrap_or("(not named in its token)")
        );
        let remedy = "credentials of applications and command lines serve other tenants that additionally_allowed_tenants \
             lists; a managed identity has one tenant";
        Err(Attempt::new(self.name(), Status::Refused, reason).with_remedy(remedy).into())
    }
}

#[async_trait]
impl TokenSource for OwnTenant {
    fn name(&self) -> &'static str {
        self.source.name()
    }

    fn description(&self) -> String {
        self.source.description()
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        self.checked(self.source.fetch(scope, deadline).await?)
    }

    async fn fetch_late(&self, scope: &str, deadline: Instant) -> Option<Result<FetchedToken, Error>> {
        let outcome = self.source.fetch_late(scope, deadline).await?;
        Some(outcome.and_then(|token| self.checked(token)))
    }

    fn is_shareable(&self) -> bool {
        self.source.is_shareable()
    }

    fn fingerprint(&self, state: &mut dyn Hasher) {
        self.source.fingerprint(state);
        state.write(self.tenant_id.as_bytes());
    }

    fn attempts(&self) -> Vec<Attempt> {
        self.source.attempts()
    }
}

/// The same credential for tokens that satisfy the claims of a challenge, which are JSON.
#[must_use]
pub fn with_claims(source: Arc<dyn TokenSource>, claims: &str) -> Arc<dyn TokenSource> {
    Arc::new(WithClaims { source, claims: claims.into() })
}

/// A credential whose tokens satisfy a claims challenge.
#[derive(Debug)]
struct WithClaims {
    source: Arc<dyn TokenSource>,
    claims: Arc<str>,
}

#[async_trait]
impl TokenSource for WithClaims {
    fn name(&self) -> &'static str {
        self.source.name()
    }

    fn description(&self) -> String {
        self.source.description()
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        CLAIMS.scope(Arc::clone(&self.claims), self.source.fetch(scope, deadline)).await
    }

    async fn fetch_late(&self, scope: &str, deadline: Instant) -> Option<Result<FetchedToken, Error>> {
        CLAIMS.scope(Arc::clone(&self.claims), self.source.fetch_late(scope, deadline)).await
    }
}
