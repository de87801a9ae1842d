//! What the fuzzer checks of SCRAM messages from clients: that none is accepted without the password, and that no answer depends
//! on whether a user exists.
//!
//! An input is a user's name, a zero byte, the body of `SASLInitialResponse`, two bytes `ff`, and the body of `SASLResponse`.

#![allow(clippy::expect_used, reason = "a panic is how a target fails")]

use std::sync::LazyLock;

use super::{Challenge, Passwords, Refusal};

/// The password stands nowhere else; the second user has none, only a verifier of it.
static PASSWORDS: LazyLock<Passwords> = LazyLock::new(|| {
    let verifier = "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:\
                    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    Passwords::parse(&format!("ada:dr0wss4p\ngrace:{verifier}\n")).expect("the file is well formed")
});
const NONCE: &str = "c2VydmVyLW5vbmNlLW9mLXByb3h5";

/// Lets a client that does not know a password log in.
///
/// # Panics
/// A property does not hold.
pub fn check(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (user, rest) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let at = rest.windows(2).position(|pair| pair == [0xff, 0xff]);
    let (first, second) = at.map_or((rest, &b""[..]), |at| (&rest[..at], &rest[at + 2..]));
    let challenged = begin(user, first);
    assert_eq!(challenged.as_ref().err(), begin(b"ada", first).as_ref().err(), "a refusal shows who exists");
    let Ok((challenge, answer)) = challenged else { return };
    let fields: Vec<_> = answer.split(',').map(|field| &field[..2]).collect();
    assert_eq!(fields, ["r=", "s=", "i="], "{answer}");
    let nonce = answer[2..].split(',').next().unwrap_or_default();
    assert!(nonce.len() > NONCE.len() && nonce.ends_with(NONCE), "both nonces are in the answer: {answer}");
    let refusal = challenge.finish(second).expect_err("nobody knows the password");
    // A proof that is well formed, of a client that has followed the protocol so far.
    let header = str::from_utf8(first).ok().and_then(|text| text.rfind(",,")).map(|_| "biws").unwrap_or_default();
    let Ok((challenge, _)) = begin(user, first) else { return };
    let proof = format!("c={header},r={nonce},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert!(challenge.finish(proof.as_bytes()).is_err(), "nobody knows the password");
    assert!(matches!(refusal, Refusal::Malformed | Refusal::Password), "{refusal:?}");
}

fn begin(user: &[u8], first: &[u8]) -> Result<(Challenge, String), Refusal> {
    PASSWORDS.begin(user).challenge(first, NONCE)
}
