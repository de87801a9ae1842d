//! What identity services answer.

#![allow(clippy::expect_used, reason = "a panic is how a target fails")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use azure_core::http::HttpClient;
use tokio::{runtime::Runtime, time::Instant};

use super::{TOKEN, check_outcome, percent_decoded};
use crate::{
    cache::FetchedToken,
    credential::{
        Authority, AzurePipelinesCredential, ClientAssertionCredential, ClientId, ClientSecretCredential, TenantId,
        TokenSource, WorkloadIdentityCredential,
        http::script::{SCRIPT, Script},
        managed_identity::fuzz::{self as managed_identity, ENDPOINT},
    },
    error::Error,
    platform::{limits::FETCH_LIMIT, scratch::Scratch},
};

/// The secret that the credential sends, which `{secret}` in an input stands for.
const SECRET: &str = "8Q~aZ.x+y/w&v\"u =t-the-secret";
/// Content of a key file that Azure Arc may name, and of one that it may not.
const KEY: &str = "a2V5LW9mLXRoZS1hZ2VudA==";
const OTHER_KEY: &str = "b3RoZXIta2V5LW5vdC10aGUtYWdlbnRz";

/// Ask a credential for a token. The first line of `input` names it, the others script the answers.
///
/// # Panics
/// A property does not hold.
pub fn check(input: &[u8]) {
    thread_local! {
        // Its clock runs only while nothing else does, so that pauses take no time.
        static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime needs no resources");
        static FILES: Scratch = files();
    }
    let Ok(text) = str::from_utf8(input) else { return };
    let Some((name, answers)) = text.split_once('\n') else { return };
    let keys = FILES.with(|files| files.join(ARC));
    let answers = answers.replace("{secret}", SECRET).replace("{token}", TOKEN).replace("{key}", KEY);
    let script = Arc::new(Script::new(&answers.replace("{keys}", &keys.to_string_lossy())));
    let asked = async {
        let begun = Instant::now();
        let outcome = ask(name, &keys, begun + FETCH_LIMIT).await?;
        assert!(begun.elapsed() < FETCH_LIMIT + Duration::from_secs(1), "{:?} for a fetch", begun.elapsed());
        Some(outcome)
    };
    let outcome =
        RUNTIME.with(|runtime| runtime.block_on(SCRIPT.scope(Arc::clone(&script) as Arc<dyn HttpClient>, asked)));
    let Some(outcome) = outcome else { return };
    let requests = script.requests();
    assert!(requests.len() < 300, "{} requests", requests.len());
    // What was not sent is no secret of this credential's.
    let sent = |secret: &&str| {
        requests.iter().any(|request| request.contains(secret) || percent_decoded(request).contains(secret))
    };
    let sends_an_answer = name.starts_with("azure_pipelines");
    let assertions: Vec<_> = requests.iter().filter_map(|request| assertion_in(request)).collect();
    let mut secrets: Vec<_> = assertions.iter().map(String::as_str).collect();
    // That credential reads no key: what an answer holds of one is a part of an assertion at most.
    secrets.extend([SECRET, KEY].into_iter().filter(|secret| *secret != KEY || !sends_an_answer).filter(sent));
    check_outcome(&outcome, &secrets);
    for request in &requests {
        let (url, rest) = request.split_once('\n').unwrap_or_default();
        assert!(url.starts_with(ENDPOINT) || url.starts_with(AUTHORITY), "a request to {url}");
        assert!(
            !url.contains(SECRET) && (sends_an_answer || !rest.contains(OTHER_KEY)),
            "a request shows what it must not: {request}"
        );
    }
}

/// The assertion in a request's form, which Azure Pipelines' credential has from an answer.
fn assertion_in(request: &str) -> Option<String> {
    let (_, form) = request.split_once("\n\n")?;
    form.split('&').find_map(|field| field.strip_prefix("client_assertion=")).map(percent_decoded)
}

const AUTHORITY: &str = "https://login.example.com/";

async fn ask(name: &str, keys: &Path, deadline: Instant) -> Option<Result<FetchedToken, Error>> {
    let (name, named) = name.strip_suffix(" named").map_or((name, false), |name| (name, true));
    if let Some(outcome) = managed_identity::ask(name, named, SECRET, keys, deadline).await {
        return Some(outcome);
    }
    let tenant_id = TenantId::parse("tenant_id", "contoso.example").expect("it is a tenant");
    let client_id = ClientId::parse("client_id", "11111111-2222-3333-4444-555555555555").expect("it is an id");
    let authority = Some(Authority::parse("authority", AUTHORITY).expect("it is an authority"));
    let source: Box<dyn TokenSource> = match name {
        "client_secret" => {
            Box::new(ClientSecretCredential { tenant_id, client_id, client_secret: SECRET.into(), authority })
        }
        "client_assertion" => {
            Box::new(ClientAssertionCredential { tenant_id, client_id, assertion: SECRET.into(), authority })
        }
        "workload_identity" => Box::new(WorkloadIdentityCredential {
            tenant_id: Some(tenant_id),
            client_id: Some(client_id),
            token_file_path: Some(keys.join("federated").to_string_lossy().into_owned()),
            authority,
        }),
        // Without SYSTEM_OIDCREQUESTURI, which `make test-rust` and the fuzzer set, it sends no request.
        "azure_pipelines" => Box::new(AzurePipelinesCredential {
            tenant_id,
            client_id,
            service_connection_id: "connection".to_owned(),
            system_access_token: SECRET.into(),
            authority,
        }),
        _ => return None,
    };
    Some(source.fetch("https://ossrdbms-aad.database.windows.net/.default", deadline).await)
}

/// The folder, in that of [`files`], that Azure Arc's keys are in.
const ARC: &str = "tokens";

/// The files that credentials read, and one that they must not.
fn files() -> Scratch {
    let folder = Scratch::folder();
    let keys = folder.join(ARC);
    fs::create_dir(&keys).expect("a folder can be created");
    for (path, text) in [
        (keys.join("agent.key"), KEY),
        (keys.join("agent.txt"), OTHER_KEY),
        (folder.join("other.key"), OTHER_KEY),
        (keys.join("federated"), SECRET),
    ] {
        fs::write(path, text).expect("a file can be written");
    }
    folder
}
