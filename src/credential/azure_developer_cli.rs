//! Whoever is signed in to the Azure Developer CLI.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    TokenSource,
    developer_tool::{self, Tool},
    request::{self, may_serve},
};
use crate::{cache::FetchedToken, error::Error};

const TOOL: Tool = Tool {
    credential: "AzureDeveloperCliCredential",
    program: "azd",
    title: "Azure Developer CLI (azd)",
    sign_in: "azd auth login",
    tenant_option: "--tenant-id",
    plain: ("NO_COLOR", "true"),
};

/// Runs `azd auth token`.
#[derive(Debug, Clone)]
pub struct AzureDeveloperCliCredential {
    /// Tenant to sign in to; by default the one of azd's environment.
    pub tenant_id: Option<String>,
    /// How long `azd` may take.
    pub process_timeout: Duration,
}

fn token(stdout: &str) -> Option<FetchedToken> {
    let answer: Value = serde_json::from_str(stdout).ok()?;
    let expires_on = answer.get("expiresOn").and_then(Value::as_str).and_then(developer_tool::moment);
    developer_tool::token(answer.get("token")?.as_str()?, expires_on)
}

/// What azd complains about: since 1.23 a JSON object with `error`, before that one with the message inside `data`, in a
/// line of its own.
fn complaint(output: &str) -> Option<String> {
    let lines: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line.trim()).ok()).collect();
    let said = |pointer| {
        let texts = lines.iter().filter_map(move |line| line.pointer(pointer)?.as_str());
        texts.map(str::trim).find(|text| !text.is_empty()).map(ToOwned::to_owned)
    };
    said("/error").or_else(|| said("/data/message"))
}

#[async_trait]
impl TokenSource for AzureDeveloperCliCredential {
    fn name(&self) -> &'static str {
        TOOL.credential
    }

    fn in_tenant(&self, tenant_id: &str, allowed: bool) -> Option<Arc<dyn TokenSource>> {
        let serves = may_serve(self.tenant_id.as_deref(), tenant_id, allowed);
        serves.then(|| Arc::new(Self { tenant_id: Some(tenant_id.to_owned()), ..self.clone() }) as Arc<_>)
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let tenant_id = self.tenant_id.as_deref();
        let mut arguments = vec!["auth", "token", "--output", "json", "--no-prompt", "--scope", scope];
        arguments.extend(tenant_id.iter().flat_map(|tenant_id| ["--tenant-id", tenant_id]));
        let claims = request::claims().map(|claims| STANDARD.encode(&*claims));
        arguments.extend(claims.iter().flat_map(|claims| ["--claims", claims]));
        let output = TOOL.run(&arguments, self.process_timeout, deadline).await?;
        if output.status.success() {
            return token(&output.stdout).ok_or_else(|| TOOL.unexpected(&output.stdout));
        }
        let said = format!("{}\n{}", output.stdout, output.stderr);
        Err(if output.status.code() == Some(127) {
            TOOL.not_installed()
        } else if said.contains("azd auth login") && !said.contains("AADSTS") {
            TOOL.not_signed_in(tenant_id)
        } else {
            TOOL.failed(&complaint(&said).unwrap_or(output.stderr), tenant_id)
        })
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
