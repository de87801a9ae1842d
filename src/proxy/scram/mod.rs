//! SCRAM-SHA-256 (RFC 5802 and 7677), the server's side, as PostgreSQL's clients use it.

mod exchange;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod passwords;

pub use exchange::{Challenge, Exchange, Refusal, new_nonce};
pub use passwords::Passwords;
use ring::{
    digest::{SHA256, digest},
    hmac,
};

/// The only mechanism that is offered: without channel binding.
pub const MECHANISM: &str = "SCRAM-SHA-256";

type Key = [u8; 32];

fn sign(key: &[u8], message: &[u8]) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    tag.as_ref().try_into().unwrap_or_default()
}

fn sha256(bytes: &[u8]) -> Key {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}
