//! The links of azure-identity's default chain.

/// A link of the chain.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// As in `exclude_NAME_credential`.
    pub name: &'static str,
    /// The value of `AZURE_TOKEN_CREDENTIALS` that selects this link alone, if there is one.
    pub credential: Option<&'static str>,
    /// The group that the link belongs to.
    pub group: Group,
    /// Which package has the credential.
    pub origin: Origin,
}

/// A value of `AZURE_TOKEN_CREDENTIALS` that selects several links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// `prod`: credentials of workloads.
    Prod,
    /// `dev`: credentials of developers' machines.
    Dev,
    /// None: the link is tried only on request.
    OnRequest,
}

impl Group {
    /// The groups that the variable can name, in the order in which messages list them.
    pub const NAMED: [(&str, Self); 2] = [("dev", Self::Dev), ("prod", Self::Prod)];
}

/// Which package has the credential of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This one.
    Native(NativeLink),
    /// azure-identity alone, with a description that completes "installing it would add …".
    AzureIdentity(&'static str),
}

/// The credential of a native link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the credentials")]
pub enum NativeLink {
    Environment,
    WorkloadIdentity,
    ManagedIdentity,
    AzureCli,
    AzurePowerShell,
    AzureDeveloperCli,
}

const fn native(name: &'static str, credential: &'static str, group: Group, link: NativeLink) -> Link {
    Link { name, credential: Some(credential), group, origin: Origin::Native(link) }
}

const fn external(
    name: &'static str,
    credential: Option<&'static str>,
    group: Group,
    description: &'static str,
) -> Link {
    Link { name, credential, group, origin: Origin::AzureIdentity(description) }
}

/// The links in the order in which they are tried, which is that of azure-identity for Python (`DefaultAzureCredential`); those
/// that only azure-identity has come after all native ones.
pub static LINKS: [Link; 10] = [
    native("environment", "EnvironmentCredential", Group::Prod, NativeLink::Environment),
    native("workload_identity", "WorkloadIdentityCredential", Group::Prod, NativeLink::WorkloadIdentity),
    native("managed_identity", "ManagedIdentityCredential", Group::Prod, NativeLink::ManagedIdentity),
    external("shared_token_cache", None, Group::Dev, "the shared token cache"),
    external("visual_studio_code", Some("VisualStudioCodeCredential"), Group::Dev, "Visual Studio Code"),
    native("cli", "AzureCliCredential", Group::Dev, NativeLink::AzureCli),
    native("powershell", "AzurePowerShellCredential", Group::Dev, NativeLink::AzurePowerShell),
    native("developer_cli", "AzureDeveloperCliCredential", Group::Dev, NativeLink::AzureDeveloperCli),
    external("interactive_browser", Some("InteractiveBrowserCredential"), Group::OnRequest, "a browser"),
    external("broker", None, Group::Dev, "the account broker of Windows and WSL"),
];
