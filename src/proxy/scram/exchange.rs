//! The messages of an exchange.

use std::str;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

use super::{Key, MECHANISM, passwords::Verifier, sha256, sign};

/// Why a client is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its message is malformed.
    Malformed,
    /// It requires channel binding, which is not offered.
    ChannelBinding,
    /// It does not know the password.
    Password,
}

/// The exchange with a client, before its first message.
pub struct Exchange {
    verifier: Verifier,
    exists: bool,
}

/// The exchange after its first message.
pub struct Challenge {
    exchange: Exchange,
    /// The messages so far, which will be signed.
    transcript: String,
    nonce: String,
    header: String,
}

impl Exchange {
    pub(super) const fn new(verifier: Verifier, exists: bool) -> Self {
        Self { verifier, exists }
    }

    /// Reads the body of `SASLInitialResponse`, and returns the answer.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn challenge(self, body: &[u8], server_nonce: &str) -> Result<(Challenge, String), Refusal> {
        let end = body.iter().position(|byte| *byte == 0).ok_or(Refusal::Malformed)?;
        let (mechanism, rest) = (&body[..end], &body[end + 1..]);
        if mechanism == b"SCRAM-SHA-256-PLUS" {
            return Err(Refusal::ChannelBinding);
        }
        let (length, message) = rest.split_first_chunk::<4>().ok_or(Refusal::Malformed)?;
        let whole = usize::try_from(u32::from_be_bytes(*length)).is_ok_and(|length| length == message.len());
        if mechanism != MECHANISM.as_bytes() || !whole {
            return Err(Refusal::Malformed);
        }
        let message = str::from_utf8(message).map_err(|_| Refusal::Malformed)?;
        // gs2-header: whether channel binding is required, and no other identity.
        let bare = match message.split_once(",,") {
            Some(("n" | "y", bare)) => bare,
            Some((binding, _)) if binding.starts_with("p=") => return Err(Refusal::ChannelBinding),
            _ => return Err(Refusal::Malformed),
        };
        let header = message[..message.len() - bare.len()].to_owned();
        // PostgreSQL's clients leave the user's name empty, because it is in the startup message.
        let mut fields = bare.split(',');
        let _user = fields.next().filter(|field| field.starts_with("n=")).ok_or(Refusal::Malformed)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(Refusal::Malformed)?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Refusal::Malformed);
        }
        let nonce = format!("{nonce}{server_nonce}");
        let answer = format!("r={nonce},s={},i={}", BASE64.encode(&self.verifier.salt), self.verifier.iterations);
        let transcript = format!("{bare},{answer}");
        Ok((Challenge { exchange: self, transcript, nonce, header }, answer))
    }
}

impl Challenge {
    /// Reads the body of `SASLResponse`, and returns the proof that the proxy knows the password, too.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn finish(self, body: &[u8]) -> Result<String, Refusal> {
        let message = str::from_utf8(body).map_err(|_| Refusal::Malformed)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(Refusal::Malformed)?;
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|field| field.strip_prefix("c=")).ok_or(Refusal::Malformed)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(Refusal::Malformed)?;
        if binding != BASE64.encode(&self.header) || nonce != self.nonce {
            return Err(Refusal::Malformed);
        }
        let proof = BASE64.decode(proof).ok().and_then(|proof| Key::try_from(proof).ok()).ok_or(Refusal::Malformed)?;
        let Verifier { stored_key, server_key, .. } = &self.exchange.verifier;
        let transcript = format!("{},{without_proof}", self.transcript);
        let signature = sign(&**stored_key, transcript.as_bytes());
        let mut client_key = Zeroizing::new(Key::default());
        for ((key, proof), signature) in client_key.iter_mut().zip(proof).zip(signature) {
            *key = proof ^ signature;
        }
        // Compared as tags, which takes constant time.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &**stored_key);
        let expected = hmac::sign(&key, &**stored_key);
        let matches = hmac::verify(&key, &sha256(&*client_key), expected.as_ref()).is_ok();
        if !(matches && self.exchange.exists) {
            return Err(Refusal::Password);
        }
        Ok(format!("v={}", BASE64.encode(sign(&**server_key, transcript.as_bytes()))))
    }
}

/// Return the server's nonce, or `None` if the operating system provides no random numbers.
#[must_use]
pub fn new_nonce() -> Option<String> {
    let mut bytes = [0; 18];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(BASE64.encode(bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn initial(mechanism: &str, message: &str) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap();
        [mechanism.as_bytes(), &[0], &length.to_be_bytes(), message.as_bytes()].concat()
    }

    /// The exchange of RFC 7677, section 3.
    fn rfc() -> Exchange {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        Exchange { verifier: Verifier::of_password(b"pencil", salt), exists: true }
    }
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const LAST: &str =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let (challenge, answer) = rfc().challenge(&initial(MECHANISM, FIRST), SERVER_NONCE).ok().unwrap();
        assert_eq!(answer, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        assert_eq!(challenge.finish(LAST.as_bytes()), Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned()));
    }

    #[test]
    fn no_nonce_is_used_twice() {
        let nonces = [new_nonce().unwrap(), new_nonce().unwrap()];
        assert_ne!(nonces[0], nonces[1]);
        assert!(nonces.iter().all(|nonce| nonce.len() >= 24), "{nonces:?}");
    }

    #[test]
    fn everything_else_is_refused() {
        for (mechanism, first, expected) in [
            ("SCRAM-SHA-256-PLUS", FIRST, Refusal::ChannelBinding),
            ("SCRAM-SHA-1", FIRST, Refusal::Malformed),
            (MECHANISM, "p=tls-server-end-point,,n=,r=abc", Refusal::ChannelBinding),
            (MECHANISM, "x,,n=,r=abc", Refusal::Malformed),
            (MECHANISM, "n,a=other,n=,r=abc", Refusal::Malformed),
            (MECHANISM, "n,,n=,r=", Refusal::Malformed),
            (MECHANISM, "n,,m=x,r=abc", Refusal::Malformed),
            (MECHANISM, "", Refusal::Malformed),
        ] {
            assert_eq!(rfc().challenge(&initial(mechanism, first), "x").err(), Some(expected), "{first}");
        }
        assert_eq!(rfc().challenge(b"SCRAM-SHA-256", "x").err(), Some(Refusal::Malformed));
        assert_eq!(rfc().challenge(b"SCRAM-SHA-256\0\0\0\0\xffn", "x").err(), Some(Refusal::Malformed));
        for (last, expected) in [
            (LAST.replace("biws", "eSws"), Refusal::Malformed),
            (LAST.replace("qO%", "qO"), Refusal::Malformed),
            (LAST.replace("p=d", "p=e"), Refusal::Password),
            (LAST.replace(",p=", ",q="), Refusal::Malformed),
            (String::new(), Refusal::Malformed),
        ] {
            let (challenge, _) = rfc().challenge(&initial(MECHANISM, FIRST), SERVER_NONCE).ok().unwrap();
            assert_eq!(challenge.finish(last.as_bytes()), Err(expected), "{last}");
        }
        let nobody = Exchange { exists: false, ..rfc() };
        let (challenge, _) = nobody.challenge(&initial(MECHANISM, FIRST), SERVER_NONCE).ok().unwrap();
        assert_eq!(challenge.finish(LAST.as_bytes()), Err(Refusal::Password));
    }
}
