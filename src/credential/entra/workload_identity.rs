//! Workload identity federation: exchanges Kubernetes' token for Entra ID's.

use std::{
    fs,
    hash::{Hash, Hasher},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::client_assertion::exchange;
use crate::{
    cache::FetchedToken,
    credential::{
        Authority, ClientId, TenantId, TokenSource,
        defect::{Defect, path_setting},
    },
    error::{Attempt, Error, Status},
    platform::{
        secret::Secret,
        variables::{AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID},
    },
};

const NAME: &str = "WorkloadIdentityCredential";

/// Exchanges the token in a file for an access token. Missing settings come from the variables that Azure's webhook sets.
#[derive(Debug, Clone, Default, Hash)]
pub struct WorkloadIdentityCredential {
    /// Directory (tenant) id; else `AZURE_TENANT_ID`.
    pub tenant_id: Option<TenantId>,
    /// Application (client) id; else `AZURE_CLIENT_ID`.
    pub client_id: Option<ClientId>,
    /// The file; else `AZURE_FEDERATED_TOKEN_FILE`. It is read at every fetch, because it rotates.
    pub token_file_path: Option<String>,
    /// The Entra ID authority; by default that of `AZURE_AUTHORITY_HOST`, else the public cloud's.
    pub authority: Option<Authority>,
}

/// Why settings cannot be used.
#[derive(Default)]
struct Problems {
    missing: Vec<&'static str>,
    defects: Vec<Defect>,
}

impl Problems {
    /// The caller's value, else the environment's.
    fn setting<T: Clone>(
        &mut self,
        name: &'static str,
        given: Option<&T>,
        read: impl FnOnce() -> Result<Option<T>, Defect>,
    ) -> Option<T> {
        match given.cloned().map_or_else(read, |given| Ok(Some(given))) {
            Ok(Some(value)) => return Some(value),
            Ok(None) => self.missing.push(name),
            Err(defect) => self.defects.push(defect),
        }
        None
    }

    /// The missing settings, because the others may be meant for another credential; else the first defect.
    fn into_error(self) -> Error {
        if let Some(defect) = self.defects.into_iter().next().filter(|_| self.missing.is_empty()) {
            return defect.of(NAME);
        }
        Attempt::new(NAME, Status::Unavailable, format!("not set: {}", self.missing.join(", ")))
            .with_remedy("in Kubernetes the workload identity webhook sets them on labelled pods")
            .into()
    }
}

#[async_trait]
impl TokenSource for WorkloadIdentityCredential {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_shareable(&self) -> bool {
        true
    }

    fn fingerprint(&self, mut state: &mut dyn Hasher) {
        self.hash(&mut state);
    }

    fn tenant(&self) -> Option<TenantId> {
        self.tenant_id.clone().or_else(|| TenantId::of_environment().ok().flatten())
    }

    fn with_tenant(&self, tenant_id: TenantId) -> Option<Arc<dyn TokenSource>> {
        Some(Arc::new(Self { tenant_id: Some(tenant_id), ..self.clone() }))
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let mut problems = Problems::default();
        let tenant_id = problems.setting(AZURE_TENANT_ID, self.tenant_id.as_ref(), TenantId::of_environment);
        let client_id = problems.setting(AZURE_CLIENT_ID, self.client_id.as_ref(), ClientId::of_environment);
        let token_file_path = problems.setting(AZURE_FEDERATED_TOKEN_FILE, self.token_file_path.as_ref(), || {
            path_setting(AZURE_FEDERATED_TOKEN_FILE)
        });
        let (Some(tenant_id), Some(client_id), Some(token_file_path)) = (tenant_id, client_id, token_file_path) else {
            return Err(problems.into_error());
        };
        let assertion = read(&token_file_path).map_err(|reason| Attempt::new(NAME, Status::Misconfigured, reason))?;
        let application = (&tenant_id, &client_id);
        exchange(NAME, application, assertion, self.authority.as_ref(), scope, deadline).await
    }
}

/// The token in a file, without what editors and `echo` put around it.
///
/// # Errors
/// It cannot be read, or is empty.
fn read(path: &str) -> Result<Secret, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("failed to read federated token from file {path}: {error}"))?;
    match text.trim_start_matches('\u{feff}').trim() {
        "" => Err(format!("the file of the federated token, {path}, is empty")),
        token => Ok(token.into()),
    }
}
