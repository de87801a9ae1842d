//! Azure Arc: a process that can read a certain file of the agent can have a token.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use azure_core::http::RawResponse;
use serde_json::Value;

use super::UserAssigned;
use crate::platform::{folders, secret::Secret};

const KEY_LIMIT: u64 = 4096;

/// Read the key that the agent's challenge names.
///
/// The endpoint names the file, and receives its content. So only keys are read, only from the keys' folder, and no more than a
/// key's length.
///
/// # Errors
/// It is not a challenge, or the file is not one of the agent's keys or cannot be read.
pub fn key(response: &RawResponse, keys: &Path) -> Result<Secret, String> {
    let challenge = response.headers().get_optional_str(&"www-authenticate".into());
    let challenge = challenge.ok_or("Azure Arc's agent answered 401 without a challenge (WWW-Authenticate)")?;
    let path = challenge.split_once('=').filter(|(scheme, _)| scheme.trim().eq_ignore_ascii_case("basic realm"));
    let path = path.map(|(_, path)| PathBuf::from(path.trim().trim_matches('"')));
    let path = path.ok_or_else(|| format!("Azure Arc's agent sent a challenge of another kind: {challenge:?}"))?;
    let shown = path.display();
    if path.parent() != Some(keys) || path.components().any(|part| part.as_os_str() == "..") {
        return Err(format!(
            "Azure Arc's agent named the file {shown}, which is not in {}; it was not read",
            keys.display()
        ));
    }
    if path.extension().is_none_or(|extension| extension != "key") {
        return Err(format!("Azure Arc's agent named the file {shown}, which is no .key file; it was not read"));
    }
    let unreadable = |error| {
        format!("{shown} could not be read: {error}; the user that this runs as has to {}", folders::ARC_READERS)
    };
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(KEY_LIMIT + 1).read_to_string(&mut text));
    if read.map_err(unreadable)? as u64 > KEY_LIMIT {
        return Err(format!("{shown} is larger than {KEY_LIMIT} bytes, so it is no key; it was not sent"));
    }
    Ok(text.into())
}

/// Check that the token belongs to the requested identity: agents that do not know user-assigned identities ignore the
/// parameter and return the machine's token.
///
/// # Errors
/// It does not, or the answer does not name the identity.
pub fn confirm(response: &RawResponse, asked: &UserAssigned) -> Result<(), String> {
    let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let (names, id): (&[&str], _) = match asked {
        UserAssigned::ClientId(id) => (&["client_id"], &**id),
        UserAssigned::ObjectId(id) => (&["object_id"], id),
        UserAssigned::ResourceId(id) => (&["msi_res_id", "mi_res_id"], id),
    };
    let told = names.iter().find_map(|name| answer.get(name)?.as_str());
    match told {
        Some(told) if told.eq_ignore_ascii_case(id) => Ok(()),
        Some(told) => Err(format!("Azure Arc's agent gave a token of {told} instead of {id}")),
        None => Err(format!(
            "Azure Arc's agent does not say that the token is that of {id}: agents that know no user-assigned identities give \
             the machine's own; update the agent"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use azure_core::http::{StatusCode, headers::Headers};

    use super::*;
    use crate::platform::scratch::Scratch;

    fn answer(challenge: Option<&str>, body: &str) -> RawResponse {
        let mut headers = Headers::new();
        if let Some(challenge) = challenge {
            headers.insert("www-authenticate", challenge.to_owned());
        }
        RawResponse::from_bytes(StatusCode::Unauthorized, headers, body.to_owned())
    }

    #[test]
    fn only_keys_from_their_place_are_read() {
        let keys = Scratch::folder();
        fs::create_dir(keys.join("below")).unwrap();
        for (name, text) in
            [("good.key", "k3y".to_owned()), ("good.txt", "x".to_owned()), ("big.key", "x".repeat(4097))]
        {
            fs::write(keys.join(name), text).unwrap();
        }
        let at = |name: &str| format!("Basic realm={}/{name}", keys.display());
        for (challenge, expected) in [
            (Some(at("good.key")), Ok("k3y")),
            (Some(format!("BASIC Realm=\"{}/good.key\"", keys.display())), Ok("k3y")),
            (None, Err("without a challenge")),
            (Some("Bearer".to_owned()), Err("of another kind")),
            (Some("Digest realm=/x".to_owned()), Err("of another kind")),
            (Some("Basic realm=/etc/passwd".to_owned()), Err("it was not read")),
            (Some(at("below/../good.key")), Err("it was not read")),
            (Some(at("../good.key")), Err("it was not read")),
            (Some(at("good.txt")), Err("no .key file")),
            (Some(at("big.key")), Err("it was not sent")),
            (Some(at("absent.key")), Err(folders::ARC_READERS)),
        ] {
            let found = key(&answer(challenge.as_deref(), ""), &keys);
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.expose(), expected),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
                (found, expected) => panic!("{challenge:?}: {found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn a_token_of_another_identity_is_refused() {
        let asked = UserAssigned::ResourceId("/Sub/X".into());
        for (body, confirmed) in [
            (r#"{"msi_res_id": "/sub/x"}"#, true),
            (r#"{"mi_res_id": "/sub/x"}"#, true),
            (r#"{"msi_res_id": "/sub/y"}"#, false),
            (r"{}", false),
        ] {
            assert_eq!(confirm(&answer(None, body), &asked).is_ok(), confirmed, "{body}");
        }
    }
}
