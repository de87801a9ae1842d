//! Managed identity: the identity that Azure gave to this machine, container or app, by the host's own protocol.

mod answer;
mod arc;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod host;
mod imds;
mod retry;
mod service_fabric;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::{RawResponse, Request};
use host::Host;
use tokio::time::Instant;

use super::{
    ClientId, TokenSource, WorkloadIdentityCredential, bounded,
    defect::Defect,
    http::{attempt_log::AttemptLog, cause::innermost, transport::Client},
    parse_id, resource_of,
};
use crate::{
    cache::FetchedToken,
    error::{Attempt, Error, Status},
};

const NAME: &str = "ManagedIdentityCredential";

/// A user-assigned identity, by one of its ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UserAssigned {
    /// Its client id.
    ClientId(ClientId),
    /// Its object (principal) id.
    ObjectId(String),
    /// Its Azure resource id.
    ResourceId(String),
}

impl UserAssigned {
    /// Read the ids, of which at most one may be given.
    ///
    /// # Errors
    /// There are several, or one was copied wrongly.
    pub fn parse(
        client_id: Option<&str>,
        object_id: Option<&str>,
        resource_id: Option<&str>,
    ) -> Result<Option<Self>, Defect> {
        let client_id = client_id.map(|id| ClientId::parse("client_id", id).map(Self::ClientId)).transpose()?;
        let object_id = object_id.map(|id| parse_id("object_id", id).map(Self::ObjectId)).transpose()?;
        let resource_id = resource_id.map(|id| parse_id("resource_id", id).map(Self::ResourceId)).transpose()?;
        let mut named = [client_id, object_id, resource_id].into_iter().flatten();
        match (named.next(), named.next()) {
            (identity, None) => Ok(identity),
            _ => Err(Defect {
                problem: "several ids name the managed identity".to_owned(),
                remedy: "give one of client_id, object_id and resource_id",
            }),
        }
    }
}

/// The identity that Azure gave to the machine or app that this runs on.
#[derive(Debug, Clone, Hash)]
pub struct ManagedIdentityCredential {
    user_assigned: Option<UserAssigned>,
    /// In a chain, IMDS is probed first, because most machines have none and the request would time out.
    probe: bool,
    /// As a link of the default chain: whether `AZURE_CLIENT_ID` names the identity.
    of_environment: Option<bool>,
    /// Kubernetes' federated token counts as a managed identity, unless the chain leaves workload identity out.
    federated: bool,
}

impl ManagedIdentityCredential {
    /// The system-assigned identity, or the user-assigned one that is named.
    #[must_use]
    pub const fn new(user_assigned: Option<UserAssigned>) -> Self {
        Self { user_assigned, probe: false, of_environment: None, federated: true }
    }

    /// As a link of the default chain; `of_environment` if `AZURE_CLIENT_ID` may name the identity.
    #[must_use]
    pub const fn of_default_chain(
        user_assigned: Option<UserAssigned>,
        of_environment: bool,
        probe: bool,
        federated: bool,
    ) -> Self {
        Self { user_assigned, probe, of_environment: Some(of_environment), federated }
    }

    fn user_assigned(&self) -> Result<Option<UserAssigned>, Error> {
        if self.user_assigned.is_some() || self.of_environment != Some(true) {
            return Ok(self.user_assigned.clone());
        }
        let named = ClientId::of_environment();
        named.map(|id| id.map(UserAssigned::ClientId)).map_err(|defect| defect.of(NAME))
    }

    /// Ask the host.
    async fn fetch_from(&self, host: &Host, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let user_assigned = self.user_assigned()?;
        let log = AttemptLog::local(host.secret());
        let failed = |why: String| log.attempt(NAME, &why);
        let mut request = host.request(resource_of(scope), user_assigned.as_ref(), self.of_environment.is_some())?;
        if let (Host::Imds { base }, true) = (host, self.probe) {
            imds::look(base, request.url(), deadline).await.map_err(unavailable)?;
        }
        let client = host.client(log.clone())?;
        let mut response = send(&client, host, &request, deadline, &log).await?;
        if let (Host::AzureArc { keys, .. }, 401) = (host, u16::from(response.status())) {
            let key = arc::key(&response, keys).map_err(failed)?;
            log.hide(&key);
            request.insert_header("authorization", format!("Basic {}", key.expose()));
            response = send(&client, host, &request, deadline, &log).await?;
        }
        if let (Host::Imds { base }, false) = (host, host.is_answered_by(&response)) {
            return Err(unavailable(imds::not_azures(base, &response)).into());
        }
        let token = answer::token(&response, &log).map_err(|why| host.refusal(&response, failed(why)))?;
        if let (Host::AzureArc { .. }, Some(named)) = (host, &user_assigned) {
            arc::confirm(&response, named).map_err(failed)?;
        }
        Ok(token)
    }

    async fn of_workload(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let client_id = match self.user_assigned()? {
            Some(UserAssigned::ClientId(client_id)) => Some(client_id),
            _ => None,
        };
        let workload = WorkloadIdentityCredential { client_id, ..Default::default() };
        workload.fetch(scope, deadline).await.map_err(|error| error.of_credential(NAME))
    }
}

#[async_trait]
impl TokenSource for ManagedIdentityCredential {
    fn name(&self) -> &'static str {
        NAME
    }

    fn as_link(&self) -> Option<Arc<dyn TokenSource>> {
        Some(Arc::new(Self { probe: true, ..self.clone() }))
    }

    fn is_shareable(&self) -> bool {
        true
    }

    fn fingerprint(&self, mut state: &mut dyn Hasher) {
        self.hash(&mut state);
    }

    async fn fetch(&self, scope: &str, deadline: Instant) -> Result<FetchedToken, Error> {
        let host = Host::detect(self.federated)?;
        if matches!(host, Host::Workload) {
            return self.of_workload(scope, deadline).await;
        }
        self.fetch_from(&host, scope, deadline).await
    }

    async fn fetch_late(&self, scope: &str, deadline: Instant) -> Option<Result<FetchedToken, Error>> {
        match Host::detect(self.federated) {
            Ok(Host::Imds { base }) if self.probe && imds::is_found_late(&base, deadline).await => {
                Some(self.fetch(scope, deadline).await)
            }
            _ => None,
        }
    }
}

fn unavailable(reason: String) -> Attempt {
    Attempt::new(NAME, Status::Unavailable, reason)
}

/// Send a request, and retry it if that helps and time is left.
async fn send(
    client: &Client,
    host: &Host,
    request: &Request,
    deadline: Instant,
    log: &AttemptLog,
) -> Result<RawResponse, Error> {
    let sent = async {
        let mut attempt = 0;
        loop {
            let outcome = client.send(request).await;
            let Some(pause) = retry::pause(host, &outcome, attempt, log.retry_after()) else {
                return outcome.map_err(|error| innermost(&error));
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    };
    bounded(NAME, deadline, log, sent).await
}
