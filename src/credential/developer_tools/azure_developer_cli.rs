//! The account that is signed in to the Azure Developer CLI.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{Output, Tool};
use crate::{
    cache::FetchedToken,
    credential::{TenantId, TokenSource, developer_tools, expiry, request},
    error::Error,
};

const TOOL: Tool = Tool {
    credential: "AzureDeveloperCliCredential",
    program: "azd",
    other_programs: &[],
    title: "Azure Developer CLI (azd)",
    sign_in: "azd auth login",
    tenant_option: "--tenant-id",
    plain: ("NO_COLOR", "true"),
};

/// Runs `azd auth token`.
#[derive(Debug, Clone)]
pub struct AzureDeveloperCliCredential {
    /// Tenant to sign in to; by default the one of azd's environment.
    pub tenant_id: Option<TenantId>,
    /// How long `azd` may take.
    pub process_timeout: Duration,
}

fn token(stdout: &str) -> Option<FetchedToken> {
    // Since 1.23 it also writes objects with notices (`consoleMessage`).
    developer_tools::objects(stdout).find_map(|answer| {
        developer_tools::token(answer.get("token")?.as_str()?, answer.get("expiresOn").and_then(expiry::date))
    })
}

/// azd's error message: since 1.23 in a JSON object with `error`, before in one with the message inside `data`, on a line of
/// its own.
fn complaint(output: &str) -> Option<String> {
    type Object = Map<String, Value>;
    let objects: Vec<Object> = developer_tools::objects(output).collect();
    let said = |text: fn(&Object) -> Option<&str>| {
        objects.iter().filter_map(text).map(str::trim).find(|text| !text.is_empty()).map(ToOwned::to_owned)
    };
    said(|object| object.get("error")?.as_str()).or_else(|| said(|object| object.get("data")?.get("message")?.as_str()))
}

/// The token in `azd`'s output, or what its failure means.
pub(super) fn answer(output: &Output, tenant_id: Option<&str>) -> Result<FetchedToken, Error> {
    TOOL.token(output, token, |output| {
        let said = format!("{}\n{}", output.stdout, output.stderr);
        if said.contains("azd auth login") && !said.contains("AADSTS") {
            TOOL.not_signed_in(tenant_id)
        } else {
            TOOL.failed(complaint(&said).as_ref().unwrap_or(&output.stderr), tenant_id)
        }
    })
}

#[async_trait]
impl TokenSource for AzureDeveloperCliCredential {
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
        let mut arguments = vec!["auth", "token", "--output", "json", "--no-prompt", "--scope", scope];
        arguments.extend(tenant_id.iter().flat_map(|tenant_id| ["--tenant-id", tenant_id]));
        let claims = request::claims().map(|claims| STANDARD.encode(&*claims));
        arguments.extend(claims.iter().flat_map(|claims| ["--claims", claims]));
        let output = TOOL.run(&arguments, self.process_timeout, deadline).await?;
        answer(&output, tenant_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_of_all_versions() {
        for (output, expected) in [
            (r#"{"error":"no such tenant","message":"m"}"#, Some("no such tenant")),
            (
                "{\"type\":\"consoleMessage\",\"data\":{\"message\":\"\"}}\n{\"error\":\"no such tenant\"}",
                Some("no such tenant"),
            ),
            (r#"{"type":"consoleMessage","data":{"message":"\nERROR: old\n"}}"#, Some("ERROR: old")),
            ("ERROR: plain", None),
        ] {
            assert_eq!(complaint(output).as_deref(), expected, "{output}");
        }
    }
}
