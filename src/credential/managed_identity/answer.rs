//! Reads the hosts' answers.

use azure_core::http::RawResponse;
use serde_json::Value;

use crate::{
    cache::FetchedToken,
    credential::http::{answer, attempt_log::AttemptLog},
};

/// Read the token.
///
/// # Errors
/// There is none; the text is the host's message.
pub fn token(response: &RawResponse, log: &AttemptLog) -> Result<FetchedToken, String> {
    let status = u16::from(response.status());
    let answer = answer::json(response, log)?;
    if !response.status().is_success() {
        return Err(complaint(status, &answer).unwrap_or_else(|| format!("the request failed: {answer}")));
    }
    answer::token(&answer, log)
}

/// The host's message, in whichever field it is.
fn complaint(status: u16, answer: &Value) -> Option<String> {
    let words = ["/error_description", "/error/message", "/message", "/Message", "/error"]
        .iter()
        .find_map(|pointer| answer.pointer(pointer)?.as_str())?;
    // IMDS says "Identity not found".
    let prefix = if status == 400 { "the requested identity has not been assigned to this resource: " } else { "" };
    Some(format!("{prefix}{words}"))
}
