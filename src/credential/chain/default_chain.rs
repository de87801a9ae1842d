//! The default credential, with azure-identity's links, order and switches.

use std::{sync::Arc, time::Duration};

use super::links::{Group, LINKS, Link, NativeLink, Origin};
use crate::{
    credential::{
        Authority, AzureCliCredential, AzureDeveloperCliCredential, AzurePowerShellCredential, ChainedTokenCredential,
        ClientId, EnvironmentCredential, ManagedIdentityCredential, TenantId, TokenSource, UserAssigned,
        WorkloadIdentityCredential,
    },
    error::Error,
    platform::{limits::PROCESS_TIMEOUT, variables::AZURE_TOKEN_CREDENTIALS},
};

const NAME: &str = "DefaultAzureCredential";

/// Which links are wanted, by [`AZURE_TOKEN_CREDENTIALS`] and by the caller, who overrides it link by link.
#[derive(Debug, Clone)]
pub struct Selection {
    wanted: Vec<&'static Link>,
    /// The variable names the managed identity alone: then IMDS is asked without looking for it first.
    managed_identity_alone: bool,
}

impl Selection {
    /// Selects.
    ///
    /// # Arguments
    /// * `variable`: the value of [`AZURE_TOKEN_CREDENTIALS`]
    /// * `excluded`: names of links, and whether the caller excludes them
    ///
    /// # Errors
    /// The variable has a value that means nothing, or nothing is left.
    pub fn new(variable: Option<&str>, excluded: &[(String, bool)]) -> Result<Self, Error> {
        let asked = variable.unwrap_or_default().trim();
        let named = LINKS.iter().find(|link| link.credential.is_some_and(|name| name.eq_ignore_ascii_case(asked)));
        let group = Group::NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(asked)).map(|(_, group)| *group);
        if !asked.is_empty() && named.is_none() && group.is_none() {
            return Err(Error::InvalidArgument(format!("{AZURE_TOKEN_CREDENTIALS}={asked:?}: one of {}", values())));
        }
        let mut wanted = Vec::new();
        for link in &LINKS {
            let by_variable = match (named, group) {
                (Some(named), _) => named == link,
                (None, Some(group)) => link.group == group,
                (None, None) => link.group != Group::OnRequest,
            };
            let excluded = excluded.iter().rev().find(|(name, _)| name == link.name).map(|(_, excluded)| *excluded);
            if !excluded.unwrap_or(!by_variable) {
                wanted.push(link);
            }
        }
        if wanted.is_empty() {
            return Err(Error::InvalidArgument("every credential is excluded; at least one is required".to_owned()));
        }
        let managed_identity_alone =
            named.is_some_and(|link| link.origin == Origin::Native(NativeLink::ManagedIdentity));
        Ok(Self { wanted, managed_identity_alone })
    }

    fn natives(&self) -> impl Iterator<Item = NativeLink> {
        self.wanted.iter().filter_map(|link| match link.origin {
            Origin::Native(native) => Some(native),
            Origin::AzureIdentity(_) => None,
        })
    }

    /// The wanted links that only azure-identity has.
    #[must_use]
    pub fn python_only(&self) -> Vec<&'static str> {
        let external = |link: &&&Link| matches!(link.origin, Origin::AzureIdentity(_));
        self.wanted.iter().filter(external).map(|link| link.name).collect()
    }
}

/// The values that the variable may have.
fn values() -> String {
    let names = LINKS.iter().filter_map(|link| link.credential);
    Group::NAMED.iter().map(|(name, _)| *name).chain(names).collect::<Vec<_>>().join(", ")
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
    pub fn build(&self, selection: &Selection) -> ChainedTokenCredential {
        let process_timeout = self.process_timeout.unwrap_or(PROCESS_TIMEOUT);
        let of_environment = self.managed_identity_client_id.is_none();
        let client_id = self.managed_identity_client_id.clone().flatten();
        let has_workload_identity = selection.natives().any(|link| link == NativeLink::WorkloadIdentity);
        let link = |native| -> Arc<dyn TokenSource> {
            match native {
                NativeLink::Environment => {
                    Arc::new(EnvironmentCredential { tenant_id: None, authority: self.authority.clone() })
                }
                NativeLink::WorkloadIdentity => Arc::new(WorkloadIdentityCredential {
                    tenant_id: self.workload_identity_tenant_id.clone(),
                    client_id: self.workload_identity_client_id.clone(),
                    authority: self.authority.clone(),
                    ..Default::default()
                }),
                NativeLink::ManagedIdentity => Arc::new(ManagedIdentityCredential::of_default_chain(
                    client_id.clone().map(UserAssigned::ClientId),
                    of_environment,
                    !selection.managed_identity_alone,
                    has_workload_identity,
                )),
                NativeLink::AzureCli => {
                    Arc::new(AzureCliCredential { tenant_id: None, subscription: None, process_timeout })
                }
                NativeLink::AzurePowerShell => Arc::new(AzurePowerShellCredential { tenant_id: None, process_timeout }),
                NativeLink::AzureDeveloperCli => {
                    Arc::new(AzureDeveloperCliCredential { tenant_id: None, process_timeout })
                }
            }
        };
        let links = selection.natives().map(link).collect();
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
            let wanted: Vec<_> =
                Selection::new(variable, &exclude).unwrap().wanted.iter().map(|link| link.name).collect();
            assert_eq!(wanted, expected, "{variable:?} {exclude:?}");
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
        let everything: Vec<_> = LINKS.iter().map(|link| (link.name.to_owned(), true)).collect();
        assert!(Selection::new(None, &everything).unwrap_err().to_string().contains("at least one"));
    }
}
