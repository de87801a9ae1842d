//! The hosts that have managed identities, and how each is asked for a token.
//!
//! Sources: Microsoft's pages on managed identities for App Service, Service Fabric, Azure Arc, virtual machines and Cloud
//! Shell; Azure ML has no page of its own and speaks App Service's protocol of 2017.

use std::path::PathBuf;

use azure_core::{
    Bytes,
    http::{Method, RawResponse, Request, Url},
};

use super::{
    NAME, UserAssigned, imds,
    service_fabric::{self, Thumbprint},
    unavailable,
};
use crate::{
    credential::{
        defect::setting,
        http::{
            attempt_log::AttemptLog,
            transport::{self, Client},
        },
        variable,
    },
    error::{Attempt, Error, Status},
    platform::{
        folders,
        secret::Secret,
        variables::{self, AZURE_POD_IDENTITY_AUTHORITY_HOST, IDENTITY_ENDPOINT, MSI_ENDPOINT},
    },
};

const ASSIGN: &str = "assign the identity to this machine or app; AZURE_CLIENT_ID has to be its client id, or unset for the \
     system-assigned one";
const IMDS: &str = "http://169.254.169.254";
const IMDS_PATH: &str = "metadata/identity/oauth2/token";

/// The host that issues the token.
#[derive(Debug)]
pub enum Host {
    /// App Service, Functions, Container Apps, Automation.
    AppService { endpoint: Url, header: Secret },
    /// A Service Fabric cluster, known by its certificate's thumbprint.
    ServiceFabric { endpoint: Url, header: Secret, thumbprint: Thumbprint },
    /// A server outside Azure with Azure Arc's agent, whose challenges name a file in `keys`.
    AzureArc { endpoint: Url, keys: PathBuf },
    /// Azure Machine Learning.
    AzureMl { endpoint: Url, secret: Secret },
    /// Cloud Shell: the person who opened it.
    CloudShell { endpoint: Url },
    /// Kubernetes' federated token.
    Workload,
    /// A virtual machine's metadata service.
    Imds { base: Url },
}

impl Host {
    /// Detect the host from the environment, in azure-identity's order.
    ///
    /// # Errors
    /// A variable has an invalid value.
    pub fn detect(federated: bool) -> Result<Self, Attempt> {
        let set = |name: &str| setting(name).map_err(|defect| unavailable(defect.problem).with_remedy(defect.remedy));
        let endpoint = |name: &str, text: &str| transport::parse_endpoint(name, text).map_err(unavailable);
        if let Some(text) = set(IDENTITY_ENDPOINT)? {
            let url = || endpoint(IDENTITY_ENDPOINT, &text);
            return match (set(variables::IDENTITY_HEADER)?, set(variables::IDENTITY_SERVER_THUMBPRINT)?) {
                (Some(header), Some(thumbprint)) => Ok(Self::ServiceFabric {
                    endpoint: url()?,
                    header: header.into(),
                    thumbprint: service_fabric::thumbprint(&thumbprint).map_err(unavailable)?,
                }),
                (Some(header), None) => Ok(Self::AppService { endpoint: url()?, header: header.into() }),
                (None, _) if variable(variables::IMDS_ENDPOINT).is_some() => {
                    Ok(Self::AzureArc { endpoint: url()?, keys: folders::arc_keys() })
                }
                (None, _) => Err(unavailable(
                    "IDENTITY_ENDPOINT is set, but neither IDENTITY_HEADER (App Service, Service Fabric) nor \
                         IMDS_ENDPOINT (Azure Arc) is"
                        .to_owned(),
                )),
            };
        }
        if let Some(text) = set(MSI_ENDPOINT)? {
            let endpoint = endpoint(MSI_ENDPOINT, &text)?;
            return Ok(match set(variables::MSI_SECRET)? {
                Some(secret) => Self::AzureMl { endpoint, secret: secret.into() },
                None => Self::CloudShell { endpoint },
            });
        }
        let of_workload =
            [variables::AZURE_AUTHORITY_HOST, variables::AZURE_TENANT_ID, variables::AZURE_FEDERATED_TOKEN_FILE];
        if federated && of_workload.iter().all(|name| variable(name).is_some()) {
            return Ok(Self::Workload);
        }
        let base = set(AZURE_POD_IDENTITY_AUTHORITY_HOST)?.unwrap_or_else(|| IMDS.to_owned());
        Ok(Self::Imds { base: endpoint(AZURE_POD_IDENTITY_AUTHORITY_HOST, &base)? })
    }

    /// The secret that is sent to the host.
    pub fn secret(&self) -> &Secret {
        static NONE: std::sync::LazyLock<Secret> = std::sync::LazyLock::new(|| Secret::from(""));
        match self {
            Self::AppService { header: secret, .. }
            | Self::ServiceFabric { header: secret, .. }
            | Self::AzureMl { secret, .. } => secret,
            Self::AzureArc { .. } | Self::CloudShell { .. } | Self::Workload | Self::Imds { .. } => &NONE,
        }
    }

    /// The request for a token.
    ///
    /// # Errors
    /// This host has one identity only, and another is named. As a link of the default chain (`lenient`), Cloud Shell gets the
    /// name nevertheless, as from azure-identity.
    pub fn request(
        &self,
        resource: &str,
        user_assigned: Option<&UserAssigned>,
        lenient: bool,
    ) -> Result<Request, Attempt> {
        let misconfigured = |reason: &str| Attempt::new(NAME, Status::Misconfigured, reason).with_remedy("name none");
        let (url, version, header) = match self {
            Self::AppService { endpoint, header } => {
                (endpoint, "2019-08-01", Some(("x-identity-header", header.expose())))
            }
            Self::ServiceFabric { endpoint, header, .. } => {
                if user_assigned.is_some() {
                    return Err(misconfigured("Service Fabric gives an application the one identity of its manifest"));
                }
                (endpoint, "2019-07-01-preview", Some(("secret", header.expose())))
            }
            Self::AzureArc { endpoint, .. } => (endpoint, "2020-06-01", None),
            Self::AzureMl { endpoint, secret } => (endpoint, "2017-09-01", Some(("secret", secret.expose()))),
            Self::CloudShell { endpoint } => {
                return match user_assigned {
                    Some(_) if !lenient => {
                        Err(misconfigured("Cloud Shell gives the identity of the person who opened it"))
                    }
                    named => Ok(self.form(endpoint, resource, named)),
                };
            }
            Self::Workload => return Err(Attempt::new(NAME, Status::Misconfigured, "it is no host to ask")),
            Self::Imds { base } => {
                let url = below(base, IMDS_PATH);
                return Ok(self.query(url, "2018-02-01", resource, user_assigned, None));
            }
        };
        Ok(self.query(url.clone(), version, resource, user_assigned, header))
    }

    fn query(
        &self,
        mut url: Url,
        version: &str,
        resource: &str,
        user_assigned: Option<&UserAssigned>,
        header: Option<(&'static str, &str)>,
    ) -> Request {
        url.query_pairs_mut()
            .append_pair("api-version", version)
            .append_pair("resource", resource)
            .extend_pairs(user_assigned.map(|named| self.parameter(named)));
        let mut request = Request::new(url, Method::Get);
        if !matches!(self, Self::AzureMl { .. } | Self::ServiceFabric { .. }) {
            request.insert_header("metadata", "true");
        }
        if let Some((name, value)) = header {
            request.insert_header(name, value.to_owned());
        }
        request
    }

    fn form(&self, endpoint: &Url, resource: &str, user_assigned: Option<&UserAssigned>) -> Request {
        let mut form = endpoint.clone();
        form.query_pairs_mut()
            .clear()
            .append_pair("resource", resource)
            .extend_pairs(user_assigned.map(|named| self.parameter(named)));
        let body = form.query().unwrap_or_default().to_owned();
        let mut request = Request::new(endpoint.clone(), Method::Post);
        request.insert_header("metadata", "true");
        request.insert_header("content-type", "application/x-www-form-urlencoded");
        request.set_body(Bytes::from(body));
        request
    }

    /// This host's parameter for the id of a user-assigned identity.
    fn parameter<'a>(&self, user_assigned: &'a UserAssigned) -> (&'static str, &'a str) {
        match (user_assigned, self) {
            (UserAssigned::ClientId(id), Self::AzureMl { .. }) => ("clientid", id),
            (UserAssigned::ClientId(id), _) => ("client_id", id),
            (UserAssigned::ObjectId(id), _) => ("object_id", id),
            (UserAssigned::ResourceId(id), Self::AppService { .. }) => ("mi_res_id", id),
            (UserAssigned::ResourceId(id), _) => ("msi_res_id", id),
        }
    }

    /// The client for its requests.
    pub fn client(&self, log: AttemptLog) -> Result<Client, Error> {
        match self {
            Self::ServiceFabric { thumbprint, .. } => {
                transport::local(NAME, || service_fabric::client(thumbprint), log)
            }
            _ => transport::local(NAME, transport::plain_client, log),
        }
    }

    /// Whether the answer is this host's: at IMDS' address there may be another service.
    pub fn is_answered_by(&self, response: &RawResponse) -> bool {
        match self {
            Self::Imds { base } => imds::recognizes(base, response),
            _ => true,
        }
    }

    /// What a refusal means: hosts answer 400 where the identity is not assigned. After IMDS' a chain goes on, because every
    /// virtual machine has IMDS.
    pub fn refusal(&self, response: &RawResponse, mut refused: Attempt) -> Attempt {
        if u16::from(response.status()) != 400 || refused.remedy.is_some() {
            return refused;
        }
        if matches!(self, Self::Imds { .. }) {
            refused.status = Status::NotReady;
        }
        refused.with_remedy(ASSIGN)
    }
}

/// A URL with `path` appended.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::ClientId;

    const RESOURCE: &str = "https://r";

    fn url() -> Url {
        Url::parse("http://127.0.0.1:1/x").unwrap()
    }

    fn hosts() -> Vec<Host> {
        vec![
            Host::AppService { endpoint: url(), header: "h".into() },
            Host::ServiceFabric { endpoint: url(), header: "h".into(), thumbprint: [0; 20] },
            Host::AzureArc { endpoint: url(), keys: PathBuf::new() },
            Host::AzureMl { endpoint: url(), secret: "s".into() },
            Host::Imds { base: url() },
        ]
    }

    #[test]
    fn ids_are_called_what_each_host_calls_them() {
        for (named, expected) in [
            (
                UserAssigned::ClientId(ClientId::parse("client_id", "i").unwrap()),
                ["client_id", "", "client_id", "clientid", "client_id"],
            ),
            (UserAssigned::ObjectId("i".into()), ["object_id", "", "object_id", "object_id", "object_id"]),
            (UserAssigned::ResourceId("i".into()), ["mi_res_id", "", "msi_res_id", "msi_res_id", "msi_res_id"]),
        ] {
            for (host, name) in hosts().iter().zip(expected) {
                match host.request(RESOURCE, Some(&named), true) {
                    Ok(request) => {
                        let query = request.url().query().unwrap_or_default().to_owned();
                        assert!(query.ends_with(&format!("&resource=https%3A%2F%2Fr&{name}=i")), "{host:?}: {query}");
                    }
                    Err(_) => assert_eq!(name, "", "{host:?}"),
                }
            }
        }
    }

    #[test]
    fn cloud_shell_takes_a_form_and_no_identity() {
        let host = Host::CloudShell { endpoint: url() };
        let request = host.request(RESOURCE, None, false).unwrap();
        assert_eq!((request.method(), request.url().as_str()), (Method::Post, "http://127.0.0.1:1/x"));
        let named = UserAssigned::ClientId(ClientId::parse("client_id", "i").unwrap());
        assert!(host.request(RESOURCE, Some(&named), false).is_err());
        assert!(host.request(RESOURCE, Some(&named), true).is_ok());
    }

    #[test]
    fn a_path_goes_below_another() {
        for (base, expected) in [
            ("http://127.0.0.1:9", "http://127.0.0.1:9/metadata/identity/oauth2/token"),
            ("http://[::1]:80/x/", "http://[::1]/x/metadata/identity/oauth2/token"),
        ] {
            assert_eq!(below(&Url::parse(base).unwrap(), IMDS_PATH).as_str(), expected);
        }
    }
}
