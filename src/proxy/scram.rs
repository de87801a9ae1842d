//! SCRAM-SHA-256 (RFC 5802 and 7677) as PostgreSQL's clients speak it, from the server's side, and the file of passwords.

use std::{collections::HashMap, fmt, num::NonZeroU32, str};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{
    digest::{SHA256, digest},
    hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

/// The one mechanism that is offered: without channel binding.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// PostgreSQL's own number.
const ITERATIONS: u32 = 4096;
/// So much more than this costs a client its patience; a file with it holds a mistake.
const MOST_ITERATIONS: u32 = 10_000_000;

type Key = [u8; 32];

/// What tells whether a client knows a password, as PostgreSQL keeps it in `pg_authid`.
#[derive(Clone)]
struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Zeroizing<Key>,
    server_key: Zeroizing<Key>,
}

impl Verifier {
    fn parse(text: &str) -> Option<Self> {
        let (head, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text: &str| Some(Zeroizing::new(Key::try_from(BASE64.decode(text).ok()?).ok()?));
        Some(Self {
            iterations: iterations.parse().ok().filter(|number| (1..=MOST_ITERATIONS).contains(number))?,
            salt: BASE64.decode(salt).ok().filter(|salt| !salt.is_empty())?,
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }

    fn of_password(password: &[u8], salt: Vec<u8>) -> Self {
        let mut salted = Zeroizing::new(Key::default());
        let iterations = NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password, &mut *salted);
        let client_key = Zeroizing::new(sign(&*salted, b"Client Key"));
        let stored_key = Zeroizing::new(sha256(&*client_key));
        let server_key = Zeroizing::new(sign(&*salted, b"Server Key"));
        Self { iterations: ITERATIONS, salt, stored_key, server_key }
    }
}

fn sign(key: &[u8], message: &[u8]) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    tag.as_ref().try_into().unwrap_or_default()
}

fn sha256(bytes: &[u8]) -> Key {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

/// Who may come in.
pub struct Passwords {
    by_user: HashMap<Vec<u8>, Verifier>,
    /// Makes up salts for users that do not exist, the same ones each time: nobody can tell who does.
    mock_key: Zeroizing<Key>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("users", &self.by_user.len()).finish_non_exhaustive()
    }
}

impl Passwords {
    /// Reads lines of `USER:PASSWORD`, where the password may be a verifier as `pg_authid` has it.
    ///
    /// # Errors
    /// A line that means nothing, by its number and without what it holds.
    pub fn parse(text: &str) -> Result<Self, String> {
        let random = SystemRandom::new();
        let unusable = |_| "the operating system gives no random numbers".to_owned();
        let mut mock_key = Zeroizing::new(Key::default());
        random.fill(&mut *mock_key).map_err(unusable)?;
        let mut by_user = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = index + 1;
            let (user, password) = line
                .split_once(':')
                .filter(|(user, password)| !user.is_empty() && !password.is_empty())
                .ok_or_else(|| format!("line {number}: expected USER:PASSWORD"))?;
            let verifier = if password.starts_with("SCRAM-SHA-256$") {
                Verifier::parse(password)
                    .ok_or_else(|| format!("line {number}: the SCRAM-SHA-256 verifier is malformed"))?
            } else if password.is_ascii() {
                let mut salt = vec![0; 16];
                random.fill(&mut salt).map_err(unusable)?;
                Verifier::of_password(password.as_bytes(), salt)
            } else {
                return Err(format!("line {number}: give a SCRAM-SHA-256 verifier for a password that is not ASCII"));
            };
            if by_user.insert(user.as_bytes().to_vec(), verifier).is_some() {
                return Err(format!("line {number}: the user has a line above"));
            }
        }
        if by_user.is_empty() {
            return Err("the file names no user".to_owned());
        }
        Ok(Self { by_user, mock_key })
    }

    /// Begins with a client that says it is `user`; what it answers to the list of mechanisms comes next.
    #[must_use]
    pub fn begin(&self, user: &[u8]) -> Exchange {
        let known = self.by_user.get(user).cloned();
        let exists = known.is_some();
        let verifier = known.unwrap_or_else(|| {
            let made_up = sign(&*self.mock_key, user);
            Verifier {
                iterations: ITERATIONS,
                salt: made_up[..16].to_vec(),
                stored_key: Zeroizing::new(made_up),
                server_key: Zeroizing::new(made_up),
            }
        });
        Exchange { verifier, exists }
    }
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It does not speak SCRAM as it should.
    Malformed,
    /// It wants channel binding, which is not offered.
    ChannelBinding,
    /// It does not know the password.
    Password,
}

/// One client's exchange, before its first message.
pub struct Exchange {
    verifier: Verifier,
    exists: bool,
}

/// After the first.
pub struct Challenge {
    exchange: Exchange,
    /// Everything that both have said so far and will be signed.
    said: String,
    nonce: String,
    header: String,
}

impl Exchange {
    /// Reads the body of `SASLInitialResponse`; gives what to answer.
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
        // gs2-header: whether channel binding is wanted, and no other identity.
        let bare = match message.split_once(",,") {
            Some(("n" | "y", bare)) => bare,
            Some((binding, _)) if binding.starts_with("p=") => return Err(Refusal::ChannelBinding),
            _ => return Err(Refusal::Malformed),
        };
        let header = message[..message.len() - bare.len()].to_owned();
        // PostgreSQL's clients leave the user's name empty: the startup message has said it.
        let mut fields = bare.split(',');
        let _user = fields.next().filter(|field| field.starts_with("n=")).ok_or(Refusal::Malformed)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(Refusal::Malformed)?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Refusal::Malformed);
        }
        let nonce = format!("{nonce}{server_nonce}");
        let answer = format!("r={nonce},s={},i={}", BASE64.encode(&self.verifier.salt), self.verifier.iterations);
        let said = format!("{bare},{answer}");
        Ok((Challenge { exchange: self, said, nonce, header }, answer))
    }
}

impl Challenge {
    /// Reads the body of `SASLResponse`; gives what proves that we know the password too.
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
        let said = format!("{},{without_proof}", self.said);
        let signature = sign(&**stored_key, said.as_bytes());
        let mut client_key = Zeroizing::new(Key::default());
        for ((key, proof), signature) in client_key.iter_mut().zip(proof).zip(signature) {
            *key = proof ^ signature;
        }
        // Compared as tags, which takes the same time for all.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &**stored_key);
        let expected = hmac::sign(&key, &**stored_key);
        let matches = hmac::verify(&key, &sha256(&*client_key), expected.as_ref()).is_ok();
        if !(matches && self.exchange.exists) {
            return Err(Refusal::Password);
        }
        Ok(format!("v={}", BASE64.encode(sign(&**server_key, said.as_bytes()))))
    }
}

/// What nobody can foresee; `None` where the operating system has none.
#[must_use]
pub fn new_nonce() -> Option<String> {
    let mut bytes = [0; 18];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(BASE64.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn initial(mechanism: &str, message: &str) -> Vec<u8> {
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
    fn the_example_of_the_rfc_is_let_in() {
        let (challenge, answer) = rfc().challenge(&initial(MECHANISM, FIRST), SERVER_NONCE).ok().unwrap();
        assert_eq!(answer, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        assert_eq!(challenge.finish(LAST.as_bytes()), Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned()));
    }

    #[test]
    fn others_are_not() {
        for (mechanism, first, expected) in [
            ("SCRAM-SHA-256-PLUS", FIRST, Refusal::ChannelBinding),
            ("SCRAM-SHA-1", FIRST, Refusal::Malformed),
            (MECHANISM, "p=tls-server-end-point,,n=,r=abc", Refusal::ChannelBinding),
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

    #[test]
    fn a_user_who_does_not_exist_looks_like_one() {
        let passwords = Passwords::parse("ann:secret\n").unwrap();
        let salt = |user: &[u8]| {
            let (_, answer) = passwords.begin(user).challenge(&initial(MECHANISM, "n,,n=,r=abc"), "x").ok().unwrap();
            answer
        };
        assert_eq!(salt(b"nobody"), salt(b"nobody"));
        assert_ne!(salt(b"nobody"), salt(b"no-one"));
        assert_eq!(salt(b"ann").len(), salt(b"nobody").len());
    }

    #[test]
    fn a_file_is_read_line_by_line_and_its_errors_hold_no_secret() {
        let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        let passwords = Passwords::parse(&format!("# who\n\nann:a:b\r\nbob:{verifier}\n")).unwrap();
        assert_eq!(format!("{passwords:?}"), "Passwords { users: 2, .. }");
        for (text, expected) in [
            ("", "the file names no user"),
            ("ann", "line 1: expected USER:PASSWORD"),
            ("ann:", "line 1: expected USER:PASSWORD"),
            (":secret", "line 1: expected USER:PASSWORD"),
            ("a:b\na:c", "line 2: the user has a line above"),
            ("a:SCRAM-SHA-256$secret", "line 1: the SCRAM-SHA-256 verifier is malformed"),
            ("a:pässword", "line 1: give a SCRAM-SHA-256 verifier for a password that is not ASCII"),
        ] {
            assert_eq!(Passwords::parse(text).unwrap_err(), expected);
        }
    }
}
