//! What the fuzzer checks of tokens: which claims are read, whose name comes of them, and that no error shows a piece of a token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    claims::{self, Claims},
    principal::{guest_account, guest_role, principal, principal_name},
};

/// Reads `input` as a token, and as the payload of one.
///
/// # Panics
/// A property does not hold.
pub fn check(input: &[u8]) {
    if let Ok(token) = str::from_utf8(input) {
        check_token(token);
    }
    check_payload(input);
}

/// Stands in tokens, and in no error.
const MARK: &str = "a1b2c3d4e5f6";

fn check_token(token: &str) {
    let read = Claims::of_token(token).ok();
    if let Some(payload) = token.split('.').nth(1) {
        let same = Claims::of_token(&format!("other.{payload}.other")).ok();
        assert_eq!(read, same, "header and signature change no claim");
        let padded = Claims::of_token(&format!("h.{payload}=")).ok();
        assert!(padded.is_none() || padded == read, "padding changes no claim");
    }
    for changed in [format!("{token}{MARK}"), format!("h.{MARK}{token}"), format!("{MARK}{token}")] {
        let shown = Claims::of_token(&changed).err().map(|error| format!("{error} {error:?}")).unwrap_or_default();
        assert!(!shown.contains(MARK), "an error shows a token: {shown}");
    }
}

fn check_payload(json: &[u8]) {
    let token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(json));
    let read = Claims::of_token(&token);
    // What is skipped is not checked as closely as what is read, so there may be claims where the oracle sees none.
    if let Ok(oracle) = serde_json::from_slice::<Map<String, Value>>(json) {
        let claims = read.as_ref().ok();
        for name in ["app_displayname", "idp", "oid", "preferred_username", "tid", "unique_name", "upn", "xms_mirid"] {
            let expected = oracle.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            assert_eq!(claims.and_then(|claims| claims.text(name)), expected, "{name}");
        }
        let mut names: Vec<_> = oracle.keys().cloned().collect();
        names.sort_unstable();
        assert_eq!(claims::names(&token).ok(), Some(names));
    }
    if let Ok(claims) = read {
        check_principal(&claims);
    }
}

fn check_principal(claims: &Claims) {
    let found = principal(claims);
    assert_eq!(found.map(|(_, name)| name), principal_name(claims));
    if let Some(account) = guest_account(claims) {
        assert_eq!(found, None, "a guest's home account is no role");
        assert_eq!(guest_role(account).matches('@').count(), 1, "a role has one domain");
    }
    let Some((claim, name)) = found else { return };
    let whole = claims.text(claim);
    assert!(!name.is_empty() && whole.is_some_and(|whole| whole.ends_with(name)), "a name is part of its claim");
    assert!(claim == "xms_mirid" || whole == Some(name), "only a resource id is more than a name");
    let is_user = ["upn", "preferred_username", "unique_name"].iter().any(|claim| claims.text(claim).is_some());
    assert!(claim != "app_displayname" || !is_user, "an application's display name comes last");
}
