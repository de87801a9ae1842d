//! Managed identity hosts for the fuzzer, whose answers its input scripts.

#![allow(clippy::expect_used, reason = "a panic is how a target fails")]

use std::path::Path;

use azure_core::http::Url;
use tokio::time::Instant;

use super::{ManagedIdentityCredential, UserAssigned, host::Host};
use crate::{cache::FetchedToken, credential::ClientId, error::Error};

/// The address of every host.
pub const ENDPOINT: &str = "http://127.0.0.1:9/";

/// Ask the host of this name for a token; `None` if there is no such host.
///
/// # Arguments
/// * `secret`: what the host is sent
/// * `keys`: the folder of Azure Arc's keys
pub async fn ask(
    name: &str,
    named: bool,
    secret: &str,
    keys: &Path,
    deadline: Instant,
) -> Option<Result<FetchedToken, Error>> {
    let endpoint = Url::parse(ENDPOINT).expect("it is a URL");
    let host = match name {
        "app_service" => Host::AppService { endpoint, header: secret.into() },
        "service_fabric" => Host::ServiceFabric { endpoint, header: secret.into(), thumbprint: [0; 20] },
        "azure_arc" => Host::AzureArc { endpoint, keys: keys.to_owned() },
        "azure_ml" => Host::AzureMl { endpoint, secret: secret.into() },
        "cloud_shell" => Host::CloudShell { endpoint },
        "imds" => Host::Imds { base: endpoint },
        _ => return None,
    };
    let identity = named.then(|| ClientId::parse("client_id", "11111111-2222-3333-4444-555555555555"));
    let identity = identity.map(|id| UserAssigned::ClientId(id.expect("it is an id")));
    let credential = ManagedIdentityCredential::new(identity);
    Some(credential.fetch_from(&host, "https://ossrdbms-aad.database.windows.net/.default", deadline).await)
}
