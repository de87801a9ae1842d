//! The payload of an access token.
//!
//! Nothing is verified here: the server verifies the token. The claims only choose the user name that is sent with it, and the
//! server refuses a wrong one.

use std::{fmt, marker::PhantomData};

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::error::Error;

/// RFC 7515 omits the padding; some issuers of test tokens write it. Stray trailing bits are accepted as well.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The claims that identify the token's subject.
const READ: [&str; 8] =
    ["app_displayname", "idp", "oid", "preferred_username", "tid", "unique_name", "upn", "xms_mirid"];

/// The claims that identify a token's subject.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims([Option<String>; READ.len()]);

impl Claims {
    /// Read the payload of a token in JWS compact form, `header.payload.signature`.
    ///
    /// # Errors
    /// As [`payload`] and [`object`].
    pub fn of_token(token: &str) -> Result<Self, Error> {
        object(&payload(token)?, ClaimsSeed)
    }

    /// The claim, if it is one of those that are read, is a string and is not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let index = READ.iter().position(|read| *read == name)?;
        self.0[index].as_deref().filter(|text| !text.is_empty())
    }
}

/// The payload of a token in JWS compact form, as text.
///
/// # Errors
/// [`Error::MalformedToken`] says which step failed, without a piece of the token.
pub fn payload(token: &str) -> Result<String, Error> {
    let payload =
        token.split('.').nth(1).ok_or_else(|| malformed("expected header.payload.signature, found no '.'"))?;
    let json = BASE64URL.decode(payload).map_err(|_| malformed("its payload is not base64url"))?;
    // Checked once: from here on strings are slices.
    String::from_utf8(json).map_err(|_| malformed(NO_JSON))
}

/// A payload's claims, in the shape that `seed` makes of a JSON object.
///
/// # Errors
/// [`Error::MalformedToken`], as above.
pub fn object<'json, S: DeserializeSeed<'json>>(payload: &'json str, seed: S) -> Result<S::Value, Error> {
    let mut json = serde_json::Deserializer::from_str(payload);
    let claims = seed.deserialize(&mut json).and_then(|claims| json.end().map(|()| claims));
    claims.map_err(|error| malformed(if error.is_data() { "its payload is JSON, but not an object" } else { NO_JSON }))
}

/// Names of all claims of a token, sorted.
///
/// # Errors
/// As [`payload`] and [`object`].
pub fn names(token: &str) -> Result<Vec<String>, Error> {
    let claims = object(&payload(token)?, PhantomData::<Map<String, Value>>)?;
    let mut names: Vec<_> = claims.into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    Ok(names)
}

const NO_JSON: &str = "its payload is not JSON";

fn malformed(reason: &str) -> Error {
    Error::MalformedToken(reason.to_owned())
}

/// Reads the wanted claims, and skips the others without a copy: some tokens list hundreds of groups.
struct ClaimsSeed;

impl<'json> DeserializeSeed<'json> for ClaimsSeed {
    type Value = Claims;

    fn deserialize<D: Deserializer<'json>>(self, json: D) -> Result<Claims, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'json> Visitor<'json> for ClaimsSeed {
    type Value = Claims;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'json>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut claims = Claims::default();
        while let Some(index) = map.next_key_seed(ClaimIndex)? {
            match index {
                Some(index) => claims.0[index] = map.next_value_seed(Text)?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(claims)
    }
}

/// A claim's index in [`READ`].
struct ClaimIndex;

impl<'json> DeserializeSeed<'json> for ClaimIndex {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'json>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for ClaimIndex {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(READ.iter().position(|read| *read == name))
    }
}

/// A claim's text; `None` if it is not a string.
struct Text;

impl<'json> DeserializeSeed<'json> for Text {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'json>>(self, json: D) -> Result<Option<String>, D::Error> {
        Ok(match Value::deserialize(json)? {
            Value::String(text) => Some(text),
            _ => None,
        })
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
        let payload = json!({"upn": "łukasz@contoso.com", "oid": 1, "unique_name": ["a"], "tid": {"x": null}, "app_displayname": "", "xms": 0});
        let token = token(payload.to_string().as_bytes());
        let claims = Claims::of_token(&token).unwrap();
        assert_eq!(claims.text("upn"), Some("łukasz@contoso.com"));
        for not_text in ["oid", "unique_name", "tid", "app_displayname", "xms_mirid", "absent"] {
            assert_eq!(claims.text(not_text), None, "{not_text}");
        }
        assert_eq!(names(&token).unwrap(), ["app_displayname", "oid", "tid", "unique_name", "upn", "xms"]);
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
    fn reads_long_tokens() {
        let long = "x".repeat(6000);
        let token = token(json!({ "wids": long, "oid": long }).to_string().as_bytes());
        assert!(token.len() > 16_000);
        assert_eq!(Claims::of_token(&token).unwrap().text("oid").map(str::len), Some(6000));
    }

    #[test]
    fn malformed_tokens_say_which_step_failed() {
        for (token, reason) in [
            (String::new(), "found no '.'"),
            ("opaque".to_owned(), "found no '.'"),
            ("a.@@@.c".to_owned(), "not base64url"),
            ("a..c".to_owned(), "not JSON"),
            (token(b"[1]"), "not an object"),
            (token(b"{"), "not JSON"),
            (token(&[0xff, 0xfe]), "not JSON"),
            (token(b"{\"a\": \"\xff\"}"), "not JSON"),
            (token(br#"{"a": 1} b"#), "not JSON"),
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
        fn every_claim_survives(name in prop::sample::select(&READ[..]), other in "\\PC{1,12}", value in "\\PC{1,40}") {
            let claims = json!({ other.clone() + "-": &value, name: &value }).to_string();
            let token = token(claims.as_bytes());
            let claims = Claims::of_token(&token).unwrap();
            prop_assert_eq!(claims.text(name), Some(value.as_str()));
            prop_assert!(names(&token).unwrap().contains(&(other + "-")));
        }
    }
}
