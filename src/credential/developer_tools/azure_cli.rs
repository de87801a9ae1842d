//! The account that is signed in to the Azure CLI.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Output, Tool};
use crate::{
    cache::FetchedToken,
    credential::{Subscription, TenantId, TokenSource, developer_tools, expiry, request, resource_of},
    error::Error,
};

const TOOL: Tool = Tool {
    credential: "AzureCliCredential",
    program: "az",
    other_programs: &[],
    title: "Azure CLI (az)",
    sign_in: "az login",
    tenant_option: "--tenant",
    plain: ("AZURE_CORE_NO_COLOR", "true"),
};

/// Runs `az account get-access-token`.
#[derive(Debug, Clone)]
pub struct AzureCliCredential {
    /// Tenant to sign in to; by default the CLI's own.
    pub tenant_id: Option<TenantId>,
    /// Name or id of the subscription whose account to use; by default the CLI's current one.
    pub subscription: Option<Subscription>,
    /// How long `az` may take.
    pub process_timeout: Duration,
}

/// Read `az`'s output. Versions before 2.54 state the expiry in local time only.
fn token(stdout: &str) -> Option<FetchedToken> {
    developer_tools::objects(stdout).find_map(|answer| {
        developer_tools::token(answer.get("accessToken")?.as_str()?, answer.get("expires_on").and_then(expiry::date))
    })
}

/// The token in `az`'s output, or what its failure means.
pub(super) fn answer(output: &Output, tenant_id: Option<&str>) -> Result<FetchedToken, Error> {
    TOOL.token(output, token, |output| {
        let wants_login = ["az login", "az account set"].iter().any(|command| output.stderr.contains(command));
        if wants_login && !output.stderr.contains("AADSTS") {
            TOOL.not_signed_in(tenant_id)
        } else {
            TOOL.failed(&output.stderr, tenant_id)
        }
    })
}

#[async_trait]
impl TokenSource for AzureCliCredential {
    fn name(&self) -> &'static str {
        TOOL.credential
    }

    fn tenant(&self) -> Option<TenantId> {
        self.tenant_id.clone()
    }

    fn with_tenant(&self, tenant_id: TenantId) -> Option<Arc<dyn TokenSource>> {
        Some(Arc::new(Self { tenant_id: Some(tenant_id), ..self.clone() }))
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let tenant_id = self.tenant_id.as_deref();
        if let Some(claims) = request::claims() {
            return Err(TOOL.needs_claims("--claims-challenge", &claims, tenant_id));
        }
        let mut arguments = vec!["account", "get-access-token", "--output", "json", "--resource", resource_of(scope)];
        arguments.extend(tenant_id.iter().flat_map(|tenant_id| ["--tenant", tenant_id]));
        arguments.extend(self.subscription.as_deref().iter().flat_map(|subscription| ["--subscription", subscription]));
        let output = TOOL.run(&arguments, self.process_timeout, deadline).await?;
        answer(&output, tenant_id)
    }
}
