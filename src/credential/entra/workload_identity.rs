//! Workload identity federation: Kubernetes' token for Entra's.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use async_trait::async_trait;
use azure_identity::{ClientAssertionCredentialOptions, WorkloadIdentityCredentialOptions};
use tokio::time::Instant;

use crate::{
    cache::FetchedToken,
    credential::{
        Authority, TokenSource, ask,
        defect::{Defect, path_setting, setting},
        http::transport::{self, AttemptLog},
        request::may_serve,
        root_message, variable,
    },
    error::{Attempt, Error, Status},
};

const NAME: &str = "WorkloadIdentityCredential";

/// Exchanges the token in a file for an access token. What is not given comes from the variables that Azure's webhook sets.
#[derive(Debug, Clone, Default, Hash)]
pub struct WorkloadIdentityCredential {
    /// Directory (tenant) id; else `AZURE_TENANT_ID`.
    pub tenant_id: Option<String>,
    /// Application (client) id; else `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// The file; else `AZURE_FEDERATED_TOKEN_FILE`. It is read at every fetch, because it rotates.
    pub token_file_path: Option<String>,
    /// Where to sign in; by default what `AZURE_AUTHORITY_HOST` says, or the public cloud.
    pub authority: Option<Authority>,
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

    fn in_tenant(&self, tenant_id: &str, allowed: bool) -> Option<Arc<dyn TokenSource>> {
        let own = self.tenant_id.clone().or_else(|| variable("AZURE_TENANT_ID"));
        let serves = may_serve(own.as_deref(), tenant_id, allowed);
        serves.then(|| Arc::new(Self { tenant_id: Some(tenant_id.to_owned()), ..self.clone() }) as Arc<_>)
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let mut missing = Vec::new();
        // What is odd about a value matters once all are there: a half of them may be meant for others.
        let mut defects = Vec::new();
        let mut value = |given: &Option<String>, name, read: fn(&str) -> Result<Option<String>, Defect>| {
            match given.clone().map_or_else(|| read(name), |given| Ok(Some(given))) {
                Ok(Some(value)) => return value,
                Ok(None) => missing.push(name),
                Err(defect) => defects.push(defect),
            }
            String::new()
        };
        let tenant_id = value(&self.tenant_id, "AZURE_TENANT_ID", setting);
        let client_id = value(&self.client_id, "AZURE_CLIENT_ID", setting);
        let token_file_path = value(&self.token_file_path, "AZURE_FEDERATED_TOKEN_FILE", path_setting);
        if !missing.is_empty() {
            return Err(Attempt::new(NAME, Status::Unavailable, format!("not set: {}", missing.join(", ")))
                .with_remedy("in Kubernetes the workload identity webhook sets them on labelled pods")
                .into());
        }
        if let Some(defect) = defects.into_iter().next() {
            return Err(defect.of(NAME));
        }
        let log = AttemptLog::default();
        let options = WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions {
                client_options: transport::entra(NAME, self.authority.as_ref(), log.clone())?,
            },
            tenant_id: Some(tenant_id),
            client_id: Some(client_id),
            token_file_path: Some(token_file_path.into()),
        };
        let credential = azure_identity::WorkloadIdentityCredential::new(Some(options)).map_err(|error| {
            let (words, cause) = (root_message(NAME, &error), transport::innermost(&error));
            let reason = if words.contains(&cause) { words } else { format!("{words}: {cause}") };
            Attempt::new(NAME, Status::Misconfigured, reason)
        })?;
        ask(NAME, credential as Arc<_>, scope, deadline, &log).await
    }
}
