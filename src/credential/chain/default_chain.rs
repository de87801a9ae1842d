//! What the default credential is made of: azure-identity's links, order and switches.

use std::{sync::Arc, time::Duration};

use crate::{
    credential::{
        Authority, AzureCliCredential, AzureDeveloperCliCredential, AzurePowerShellCredential, ChainedTokenCredential,
        ClientId, EnvironmentCredential, ManagedIdentityCredential, PROCESS_TIMEOUT, TenantId, TokenSource,
        UserAssigned, WorkloadIdentityCredential,
    },
    error::Error,
};

const NAME: &str = "DefaultAzureCredential";
const VARIABLE: &str = Selection::VARIABLE;

/// A link that azure-identity's chain may have.
struct Kind {
    /// As in `exclude_NAME_credential`.
    name: &'static str,
    /// What it is called in [`Selection::VARIABLE`], if it can be named there.
    credential: Option<&'static str>,
    /// Whether it is one for developers' machines; `None` for one that is left out unless asked for.
    developer: Option<bool>,
}

const fn kind(name: &'static str, credential: Option<&'static str>, developer: Option<bool>) -> Kind {
    Kind { name, credential, developer }
}

const KINDS: [Kind; 10] = [
    kind("environment", Some("EnvironmentCredential"), Some(false)),
    kind("workload_identity", Some("WorkloadIdentityCredential"), Some(false)),
    kind("managed_identity", Some("ManagedIdentityCredential"), Some(false)),
    kind("shared_token_cache", None, Some(true)),
    kind("visual_studio_code", Some("VisualStudioCodeCredential"), Some(true)),
    kind("cli", Some("AzureCliCredential"), Some(true)),
    kind("powershell", Some("AzurePowerShellCredential"), Some(true)),
    kind("developer_cli", Some("AzureDeveloperCliCredential"), Some(true)),
    kind("interactive_browser", Some("InteractiveBrowserCredential"), None),
    kind("broker", None, Some(true)),
];

/// Which links are wanted, by [`Selection::VARIABLE`] and by the caller, who overrides it link by link.
#[derive(Debug, Clone)]
pub struct Selection {
    wanted: Vec<&'static str>,
    /// The variable names the managed identity alone: then IMDS is asked without looking for it first.
    managed_identity_alone: bool,
}

impl Selection {
    /// Narrows the chain from outside the program.
    pub const VARIABLE: &str = "AZURE_TOKEN_CREDENTIALS";

    /// Selects.
    ///
    /// # Arguments
    /// * `variable`: the value of [`Selection::VARIABLE`]
    /// * `excluded`: names of links, and whether the caller excludes them
    ///
    /// # Errors
    /// The variable has a value that means nothing, or nothing is left.
    pub fn new(variable: Option<&str>, excluded: &[(String, bool)]) -> Result<Self, Error> {
        let asked = variable.unwrap_or_default().trim();
        let named = KINDS.iter().find(|kind| kind.credential.is_some_and(|name| name.eq_ignore_ascii_case(asked)));
        let group = ["prod", "dev"].iter().position(|group| group.eq_ignore_ascii_case(asked));
        if !asked.is_empty() && named.is_none() && group.is_none() {
            return Err(Error::InvalidArgument(format!("{VARIABLE}={asked:?}: one of {}", values())));
        }
        let mut wanted = Vec::new();
        for kind in &KINDS {
            let by_variable = match (named, group) {
                (Some(named), _) => named.name == kind.name,
                (None, Some(group)) => kind.developer == Some(group == 1),
                (None, None) => kind.developer.is_some(),
            };
            let excluded = excluded.iter().rev().find(|(name, _)| name == kind.name).map(|(_, excluded)| *excluded);
            if !excluded.unwrap_or(!by_variable) {
                wanted.push(kind.name);
            }
        }
        if wanted.is_empty() {
            return Err(Error::InvalidArgument("every credential is excluded; at least one is required".to_owned()));
        }
        let managed_identity_alone = named.is_some_and(|kind| kind.name == "managed_identity");
        Ok(Self { wanted, managed_identity_alone })
    }

    fn has(&self, name: &str) -> bool {
        self.wanted.contains(&name)
    }

    /// The wanted links that only azure-identity has.
    #[must_use]
    pub fn python_only(&self) -> Vec<&'static str> {
        const PYTHON_ONLY: [&str; 4] = ["shared_token_cache", "visual_studio_code", "interactive_browser", "broker"];
        self.wanted.iter().copied().filter(|name| PYTHON_ONLY.contains(name)).collect()
    }
}

/// The values that the variable may have.
fn values() -> String {
    let names = KINDS.iter().filter_map(|kind| kind.credential);
    ["dev", "prod"].into_iter().chain(names).collect::<Vec<_>>().join(", ")
}

/// The settings of the default chain.
#[derive(Debug, Default)]
pub struct DefaultChain {
    /// Client id of a user-assigned managed identity; `Some(None)` for the system-assigned one whatever `AZURE_CLIENT_ID` says.
    pub managed_identity_client_id: Option<Option<ClientId>>,
    /// Client id for workload identity; else `AZURE_CLIENT_ID`.
    pub workload_identity_client_id: Option<ClientId>,
    /// Tenant of workload identity; else `AZURE_TENANT_ID`.
    pub workload_identity_tenant_id: Option<TenantId>,
    /// Where to sign in; by default what `AZURE_AUTHORITY_HOST` says, or the public cloud.
    pub authority: Option<Authority>,
    /// How long each command line may take.
    pub process_timeout: Option<Duration>,
}

impl DefaultChain {
    /// The native links among those that are wanted, in the order of azure-identity for Python.
    #[must_use]
    pub fn build(self, selection: &Selection) -> ChainedTokenCredential {
        let process_timeout = self.process_timeout.unwrap_or(PROCESS_TIMEOUT);
        let of_environment = self.managed_identity_client_id.is_none();
        let client_id = self.managed_identity_client_id.flatten();
        let mut links: Vec<Arc<dyn TokenSource>> = Vec::new();
        if selection.has("environment") {
            links.push(Arc::new(EnvironmentCredential { tenant_id: None, authority: self.authority.clone() }));
        }
        if selection.has("workload_identity") {
            links.push(Arc::new(WorkloadIdentityCredential {
                tenant_id: self.workload_identity_tenant_id,
                client_id: self.workload_identity_client_id,
                authority: self.authority,
                ..Default::default()
            }));
        }
        if selection.has("managed_identity") {
            links.push(Arc::new(ManagedIdentityCredential::of_default_chain(
                client_id.map(UserAssigned::ClientId),
                of_environment,
                !selection.managed_identity_alone,
                selection.has("workload_identity"),
            )));
        }
        if selection.has("cli") {
            links.push(Arc::new(AzureCliCredential { tenant_id: None, subscription: None, process_timeout }));
        }
        if selection.has("powershell") {
            links.push(Arc::new(AzurePowerShellCredential { tenant_id: None, process_timeout }));
        }
        if selection.has("developer_cli") {
            links.push(Arc::new(AzureDeveloperCliCredential { tenant_id: None, process_timeout }));
        }
        ChainedTokenCredential::named(NAME, links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROD: &[&str] = &["environment", "workload_identity", "managed_identity"];
    const DEV: &[&str] = &["shared_token_cache", "visual_studio_code", "cli", "powershell", "developer_cli", "broker"];

    #[test]
    fn the_variable_narrows_and_the_caller_overrides() {
        let all = [PROD, DEV].concat();
        let choice = |name: &str, excluded| (name.to_owned(), excluded);
        for (variable, exclude, expected) in [
            (None, vec![], all.clone()),
            (Some(" "), vec![], all),
            (Some("prod"), vec![], PROD.to_vec()),
            (Some(" DEV "), vec![], DEV.to_vec()),
            (Some("azureclicredential"), vec![], vec!["cli"]),
            (Some("InteractiveBrowserCredential"), vec![], vec!["interactive_browser"]),
            (Some("prod"), vec![choice("environment", true), choice("cli", false)], vec![PROD[1], PROD[2], "cli"]),
        ] {
            assert_eq!(Selection::new(variable, &exclude).unwrap().wanted, expected, "{variable:?} {exclude:?}");
        }
    }

    #[test]
    fn what_means_nothing_is_answered_with_what_does() {
        let text = Selection::new(Some("azurecli"), &[]).unwrap_err().to_string();
        assert_eq!(
            text,
            "AZURE_TOKEN_CREDENTIALS=\"azurecli\": one of dev, prod, EnvironmentCredential, WorkloadIdentityCredential, \
             ManagedIdentityCredential, VisualStudioCodeCredential, AzureCliCredential, AzurePowerShellCredential, \
             AzureDeveloperCliCredential, InteractiveBrowserCredential"
        );
        let everything: Vec<_> = KINDS.iter().map(|kind| (kind.name.to_owned(), true)).collect();
        assert!(Selection::new(None, &everything).unwrap_err().to_string().contains("at least one"));
    }
}
