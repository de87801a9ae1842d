//! The account that is signed in to Azure PowerShell.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::time::Instant;

use super::{Output, Tool};
use crate::{
    cache::FetchedToken,
    credential::{TenantId, TokenSource, developer_tools, expiry, request, resource_of},
    error::Error,
    platform::process,
};

const TOOL: Tool = Tool {
    credential: "AzurePowerShellCredential",
    program: "pwsh",
    other_programs: process::OTHER_POWERSHELLS,
    title: "PowerShell (pwsh)",
    sign_in: "Connect-AzAccount",
    tenant_option: "-Tenant",
    plain: ("NO_COLOR", "true"),
};

/// Prefixes of the script's own output lines; a profile or a module may print others.
const TOKEN: &str = "entra-token:";
const NO_MODULE: &str = "entra-no-module";
const INSTALL: &str = "run `Install-Module Az.Accounts`";

/// Calls `Get-AzAccessToken`, which returns a secure string since Az.Accounts 5.
const SCRIPT: &str = r"
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
if (-not (Import-Module Az.Accounts -MinimumVersion 2.2.0 -PassThru -ErrorAction SilentlyContinue)) {
    'NO_MODULE'
    exit
}
$arguments = @{ ResourceUrl = 'RESOURCE'; WarningAction = 'Ignore' }
if ('TENANT') { $arguments.TenantId = 'TENANT' }
$found = Get-AzAccessToken @arguments
$text = $found.Token
if ($text -is [securestring]) { $text = [System.Net.NetworkCredential]::new('', $text).Password }
'TOKEN' + $found.ExpiresOn.ToUnixTimeSeconds() + ':' + $text
";

/// Runs `Get-AzAccessToken` in `pwsh`.
#[derive(Debug, Clone)]
pub struct AzurePowerShellCredential {
    /// Tenant to sign in to; by default that of the current context.
    pub tenant_id: Option<TenantId>,
    /// How long `pwsh` may take.
    pub process_timeout: Duration,
}

/// The script as `-EncodedCommand` takes it.
fn encoded(resource: &str, tenant_id: &str) -> String {
    let script = SCRIPT.replace("NO_MODULE", NO_MODULE).replace("'TOKEN'", &format!("'{TOKEN}'"));
    let script = script.replace("RESOURCE", resource).replace("TENANT", tenant_id);
    let utf16: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
    STANDARD.encode(utf16)
}

fn token(stdout: &str) -> Option<FetchedToken> {
    let line = stdout.lines().find_map(|line| line.split_once(TOKEN).map(|(_noise, answer)| answer.trim_end()))?;
    let (expires_on, secret) = line.split_once(':')?;
    developer_tools::token(secret, expiry::date(&expires_on.into()))
}

/// The token in the script's output, or what its failure means.
pub(super) fn answer(output: &Output, tenant_id: Option<&str>) -> Result<FetchedToken, Error> {
    if output.stdout.contains(NO_MODULE) {
        return Err(TOOL.lacks("PowerShell's module Az.Accounts 2.2.0 or later", INSTALL));
    }
    TOOL.token(output, token, |output| {
        if output.stderr.contains("Connect-AzAccount") && !output.stderr.contains("AADSTS") {
            TOOL.not_signed_in(tenant_id)
        } else {
            TOOL.failed(&output.stderr, tenant_id)
        }
    })
}

#[async_trait]
impl TokenSource for AzurePowerShellCredential {
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
            return Err(TOOL.needs_claims("-ClaimsChallenge", &claims, tenant_id));
        }
        let resource = resource_of(scope);
        if !resource.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.:/".contains(letter)) {
            // It becomes part of a script.
            return Err(Error::InvalidArgument(format!(
                "scope={scope:?}: a scope has letters, digits and any of _ - . : / only"
            )));
        }
        let script = encoded(resource, tenant_id.unwrap_or_default());
        let arguments = ["-NoProfile", "-NonInteractive", "-EncodedCommand", &script];
        let output = TOOL.run(&arguments, self.process_timeout, deadline).await?;
        answer(&output, tenant_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_holds_resource_and_tenant() {
        let bytes = STANDARD.decode(encoded("https://r", "t-1")).unwrap();
        let units: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        let script = String::from_utf16(&units).unwrap();
        for part in ["ResourceUrl = 'https://r'", "TenantId = 't-1'", "'entra-token:' +", "'entra-no-module'"] {
            assert!(script.contains(part), "{part} in {script}");
        }
    }

    #[test]
    fn the_token_is_found_among_other_lines() {
        let fetched = token("Welcome to PowerShell\r\nentra-token:1893456000:ey.a.b\r\n\r\n").unwrap();
        assert_eq!(fetched.secret.expose(), "ey.a.b");
        assert!(token("nothing").is_none());
    }
}
