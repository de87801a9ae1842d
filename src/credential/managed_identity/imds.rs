//! Looking for the instance metadata service.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use azure_core::http::Url;
use tokio::time::Instant;

use super::{
    super::{transport, within},
    host::{IMDS_PATH, below},
};
use crate::error::seconds;

/// azure-identity for Python gives IMDS as long to show itself.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// A machine does not grow an IMDS while it runs, but its network may be late.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What the last looks found, by address: whether somebody answered, when, and what to say otherwise. For the whole process,
/// whose credentials all run on the one machine; only the fetching thread locks it. A child keeps its parent's knowledge.
static FOUND: Mutex<Vec<Found>> = Mutex::new(Vec::new());

type Found = (Url, Instant, Result<(), String>);

/// Looks for at most a second whether anything answers there, and remembers it for a while.
///
/// # Errors
/// Nothing does, in words.
pub async fn look(base: &Url, deadline: Instant) -> Result<(), String> {
    if let Some(found) = remembered(base) {
        return found;
    }
    let host = base.host_str().unwrap_or_default();
    let client = transport::plain_client().map_err(|error| transport::innermost(&error))?;
    // Any answer at all shows that IMDS is there; without its header it answers 400.
    let outcome = match within(PROBE_LIMIT, deadline, client.get(below(base, IMDS_PATH)).send()).await {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(format!("{host} could not be reached ({})", transport::innermost(&error))),
        None => Err(format!("{host} did not answer within {} s", seconds(PROBE_LIMIT))),
    };
    let outcome = outcome.map_err(|why| format!("{why}, so this machine has no managed identity endpoint"));
    let mut all = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|(url, ..)| url != base);
    all.push((base.clone(), Instant::now(), outcome.clone()));
    outcome
}

fn remembered(base: &Url) -> Option<Result<(), String>> {
    let all = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, when, found) = all.iter().find(|(url, ..)| url == base)?;
    (when.elapsed() < REMEMBERED).then(|| found.clone())
}
