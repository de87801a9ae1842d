//! The payload of an access token.
//!
//! Nothing is verified here, and nothing needs to be: the token goes to the server that verifies it. What is read here
//! only chooses the user name that is sent along, and a wrong one is refused there.

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use crate::error::Error;

/// RFC 7515 leaves the padding out; some issuers of test tokens do not. Stray trailing bits are likewise let pass.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The claims of a token, in the token's own order of keys or not: that is serde's business.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads the payload of a token in JWS compact form, `header.payload.signature`.
    ///
    /// # Errors
    /// [`Error::MalformedToken`] says which step failed, without a piece of the token.
    pub fn of_token(token: &str) -> Result<Self, Error> {
        let malformed = |reason: &str| Error::MalformedToken(reason.to_owned());
        let payload =
            token.split('.').nth(1).ok_or_else(|| malformed("expected header.payload.signature, found no '.'"))?;
        let json = BASE64URL.decode(payload).map_err(|_| malformed("its payload is not base64url"))?;
        match serde_json::from_slice(&json) {
            Ok(Value::Object(claims)) => Ok(Self(claims)),
            Ok(_) => Err(malformed("its payload is JSON but no object")),
            Err(_) => Err(malformed("its payload is not JSON")),
        }
    }

    /// The claim as text, if it is there, is a string and is not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The claim, of whatever type.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Names of all claims, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// The claims as a JSON object.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn token(payload: &[u8]) -> String {
        let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload);
        format!("eyJhbGciOiJSUzI1NiJ9.{payload}.c2lnbmF0dXJl")
    }

    #[test]
    fn reads_claims_of_any_type_and_script() {
        let payload =
            json!({"upn": "łukasz@contoso.com", "exp": 1, "groups": ["a"], "nested": {"x": null}, "empty": ""});
        let claims = Claims::of_token(&token(payload.to_string().as_bytes())).unwrap();
        assert_eq!(claims.text("upn"), Some("łukasz@contoso.com"));
        for not_text in ["exp", "groups", "nested", "empty", "absent"] {
            assert_eq!(claims.text(not_text), None, "{not_text}");
        }
        assert_eq!(claims.names(), ["empty", "exp", "groups", "nested", "upn"]);
    }

    #[test]
    fn padding_is_optional() {
        for payload in [r#"{"a":"b"}"#, r#"{"a":"bc"}"#, r#"{"a":"bcd"}"#] {
            let padded = base64::engine::general_purpose::URL_SAFE.encode(payload);
            assert!(Claims::of_token(&format!("h.{padded}.s")).is_ok());
            assert!(Claims::of_token(&format!("h.{}.s", padded.trim_end_matches('='))).is_ok());
        }
    }

    #[test]
    fn two_segments_suffice() {
        let whole = token(br#"{"upn":"a"}"#);
        let unsigned = whole.rsplit_once('.').unwrap().0;
        assert_eq!(Claims::of_token(unsigned).unwrap().text("upn"), Some("a"));
    }

    #[test]
    fn reads_tokens_of_eight_kilobytes() {
        let long = "x".repeat(6000);
        let token = token(json!({ "wids": long }).to_string().as_bytes());
        assert!(token.len() > 8000);
        assert_eq!(Claims::of_token(&token).unwrap().text("wids").map(str::len), Some(6000));
    }

    #[test]
    fn malformed_tokens_say_which_step_failed() {
        for (token, reason) in [
            (String::new(), "found no '.'"),
            ("opaque".to_owned(), "found no '.'"),
            ("a.@@@.c".to_owned(), "not base64url"),
            ("a..c".to_owned(), "not JSON"),
            (token(b"[1]"), "no object"),
            (token(b"{"), "not JSON"),
            (token(&[0xff, 0xfe]), "not JSON"),
        ] {
            let text = Claims::of_token(&token).unwrap_err().to_string();
            assert!(text.starts_with("Invalid JWT token format: "), "{text}");
            assert!(text.contains(reason), "{token:?}: {text}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(token in any::<String>()) {
            let _ = Claims::of_token(&token);
        }

        #[test]
        fn no_payload_panics(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Claims::of_token(&token(&payload));
        }

        #[test]
        fn every_claim_survives(name in "[a-z_]{1,12}", value in "\\PC{1,40}") {
            let claims = Claims::of_token(&token(json!({ &name: &value }).to_string().as_bytes())).unwrap();
            prop_assert_eq!(claims.text(&name), Some(value.as_str()));
        }
    }
}
