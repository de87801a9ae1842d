//! Finds out whether Azure's instance metadata service is available.
//!
//! Every cloud has a service at the same address, and captive portals, proxies and cluster tools answer there as
//! well. Azure's is recognized by its messages.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use azure_core::http::{Method, RawResponse, Request, Url};
use futures_channel::oneshot;
use serde_json::Value;
use tokio::time::Instant;

use super::NAME;
use crate::{
    credential::{
        http::{answer, attempt_log::AttemptLog, cause::innermost, transport},
        within,
    },
    error::seconds,
    platform::{fork, runtime},
};

/// azure-identity for Python waits as long before it asks the next link of a chain.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// A chain that found nothing else waits for its answer until then.
const LATE: Duration = Duration::from_secs(3);
/// An answer that comes until then counts for the next login. Azure promises one within 10 s (go-autorest#660).
const TOO_LATE: Duration = Duration::from_secs(10);
/// A service that was missing is looked for again after this long, and twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often a chain checks for a late answer.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How Azure's service and its substitutes in Kubernetes identify themselves (azure-sdk-for-net#43618, azure-workload-identity's and
/// aad-pod-identity's sources). The latter report errors in plain text.
const SERVERS: [&str; 3] = ["IMDS/", "azure-workload-identity/", "aad-pod-identity/"];
const NONE_HERE: &str = "so this machine has no managed identity endpoint";

/// The state of an address, for the whole process, because all of its credentials run on one machine. Only the fetching thread
/// locks it. A forked child keeps its parent's.
static KNOWN: Mutex<Vec<(Url, Known)>> = Mutex::new(Vec::new());

#[derive(Clone)]
enum Known {
    /// Azure's service has answered. It stays: later failures are its own.
    Found,
    Missing(Missing),
}

#[derive(Clone)]
struct Missing {
    why: String,
    /// When the probe ended, or will end.
    since: Instant,
    /// How many probes found nothing.
    looks: u32,
    /// The probe runs until then, in the process of this generation.
    answer_until: Option<(Instant, u32)>,
}

impl Missing {
    fn is_believed(&self) -> bool {
        let pause = FIRST_PAUSE * 2u32.saturating_pow(self.looks.saturating_sub(1).min(8));
        self.since.elapsed() < pause.min(LONGEST_PAUSE)
    }

    fn may_be_late(&self) -> bool {
        self.answer_until.is_some_and(|(until, generation)| generation == fork::generation() && Instant::now() < until)
    }
}

fn known(base: &Url) -> Option<Known> {
    let all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().find(|(url, _)| url == base).map(|(_, known)| known.clone())
}

/// Remember the result of a probe. A service that was found once stays found.
fn remember(base: &Url, outcome: Result<(), String>, answer_until: Option<Instant>) {
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let place = all.iter().position(|(url, _)| url == base);
    let before = place.map(|place| &all[place].1);
    let looks = match before {
        Some(Known::Found) => return,
        // The late end of the same probe.
        Some(Known::Missing(missing)) if answer_until.is_none() && missing.answer_until.is_some() => missing.looks,
        Some(Known::Missing(missing)) => missing.looks + 1,
        None => 1,
    };
    let now = match outcome {
        Ok(()) => Known::Found,
        Err(why) => Known::Missing(Missing {
            why,
            since: answer_until.unwrap_or_else(Instant::now),
            looks,
            answer_until: answer_until.map(|until| (until, fork::generation())),
        }),
    };
    match place {
        Some(place) => all[place].1 = now,
        None => all.push((base.clone(), now)),
    }
}

/// Whether the service at `base` is Azure's, by this answer or by an earlier one.
pub fn recognizes(base: &Url, response: &RawResponse) -> bool {
    if is_azures(response) {
        remember(base, Ok(()), None);
        return true;
    }
    matches!(known(base), Some(Known::Found))
}

fn is_azures(response: &RawResponse) -> bool {
    let server = response.headers().get_optional_str(&"server".into()).unwrap_or_default();
    SERVERS.iter().any(|name| server.starts_with(name))
        || serde_json::from_slice::<Value>(response.body()).is_ok_and(|answer| {
            ["access_token", "error"].iter().any(|name| answer.get(name).is_some_and(Value::is_string))
        })
}

/// The message for an answer of another service.
pub fn not_azures(base: &Url, response: &RawResponse) -> String {
    let (host, status) = (base.host_str().unwrap_or_default(), u16::from(response.status()));
    let what = answer::foreign(response).map(|what| format!(" with {what}")).unwrap_or_default();
    format!("{host} answered {status}{what}, not as Azure's metadata service does, {NONE_HERE}")
}

/// Probe for Azure's service, for a second at most.
///
/// # Arguments
/// * `base`: its URL
/// * `request`: the request for a token; without its header, which Azure's service refuses at once and its substitutes do not require
///
/// # Errors
/// It is not there; the text says why.
pub async fn look(base: &Url, request: &Url, deadline: Instant) -> Result<(), String> {
    match known(base) {
        Some(Known::Found) => return Ok(()),
        Some(Known::Missing(missing)) if missing.is_believed() => return Err(missing.why),
        _ => {}
    }
    let begun = Instant::now();
    let (tell, told) = oneshot::channel();
    let (of, request) = (base.clone(), request.clone());
    // In a task of its own, so that a late answer is not lost.
    let looking = runtime::spawn(async move {
        if let Some(outcome) = within(TOO_LATE, begun + TOO_LATE, ask(&of, request)).await {
            remember(&of, outcome.clone(), None);
            let _ = tell.send(outcome); // Err: it was late
        }
    });
    looking.map_err(|error| error.to_string())?;
    if let Some(Ok(outcome)) = within(PROBE_LIMIT, deadline, told).await {
        return outcome;
    }
    let host = base.host_str().unwrap_or_default();
    let why = format!("{host} did not answer within {} s, {NONE_HERE}", seconds(PROBE_LIMIT));
    remember(base, Err(why.clone()), Some(begun + LATE));
    Err(why)
}

async fn ask(base: &Url, request: Url) -> Result<(), String> {
    let host = base.host_str().unwrap_or_default();
    let client = transport::local(NAME, transport::plain_client, AttemptLog::default());
    let client = client.map_err(|error| error.to_string())?;
    match client.send(&Request::new(request, Method::Get)).await {
        Ok(response) if is_azures(&response) => Ok(()),
        Ok(response) => Err(not_azures(base, &response)),
        Err(error) => Err(format!("{host} could not be reached ({}), {NONE_HERE}", innermost(&error))),
    }
}

/// Whether the service is there after all, because a late answer came.
pub async fn is_found_late(base: &Url, deadline: Instant) -> bool {
    loop {
        match known(base) {
            Some(Known::Found) => return true,
            Some(Known::Missing(missing)) if missing.may_be_late() && Instant::now() < deadline => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::{StatusCode, headers::Headers};

    use super::*;

    #[test]
    fn azures_service_is_told_from_others() {
        for (server, body, expected) in [
            ("", r#"{"error":"invalid_request","error_description":"Required metadata header not specified"}"#, true),
            ("IMDS/150.870.65.1253", "", true),
            ("azure-workload-identity/proxy/v1.5.1", "The client_id parameter is required.", true),
            ("", r#"{"access_token":"t","expires_on":"1"}"#, true),
            ("EC2ws", "<?xml version=\"1.0\"?><html><title>401 - Unauthorized</title></html>", false),
            ("", r#"{"code":404,"message":"HTTP 404 Not Found"}"#, false),
            ("", r#"{"error":{"code":403}}"#, false),
            ("", "\"ok\"", false),
            ("nginx", "", false),
        ] {
            let mut headers = Headers::new();
            headers.insert("server", server);
            let response = RawResponse::from_bytes(StatusCode::NotFound, headers, body.to_owned());
            assert_eq!(is_azures(&response), expected, "{server} {body}");
        }
    }

    #[test]
    fn what_was_found_stays_and_what_was_missing_is_looked_for_again() {
        let base = Url::parse("http://127.0.0.1:2/memory").unwrap();
        let missing = || match known(&base) {
            Some(Known::Missing(missing)) => missing,
            _ => panic!("known to be missing"),
        };
        remember(&base, Err("late".into()), Some(Instant::now() + LATE));
        assert!(missing().is_believed() && missing().may_be_late());
        remember(&base, Err("refused".into()), None);
        assert!(!missing().may_be_late());
        assert_eq!(missing().looks, 1, "the end of the same look");
        remember(&base, Err("refused".into()), None);
        assert_eq!(missing().looks, 2);
        let old = Missing { since: Instant::now() - FIRST_PAUSE * 2, ..missing() };
        assert!(!old.is_believed());
        assert!(Missing { looks: 3, ..old }.is_believed());
        remember(&base, Ok(()), None);
        remember(&base, Err("a fault".into()), None);
        assert!(matches!(known(&base), Some(Known::Found)));
    }
}
