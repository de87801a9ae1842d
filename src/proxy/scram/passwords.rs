//! The file of passwords.

use std::{collections::HashMap, fmt, num::NonZeroU32, sync::OnceLock};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{
    pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

use super::{Exchange, Key, sha256, sign};

/// PostgreSQL's own number.
const ITERATIONS: u32 = 4096;
/// PostgreSQL's own, in bytes.
const SALT_LENGTH: usize = 16;
/// A verifier with more would take its client longer than anybody waits, and is a mistake.
const MAX_ITERATIONS: u32 = 10_000_000;

/// Verifies a password, as PostgreSQL stores it in `pg_authid`.
#[derive(Clone)]
pub(super) struct Verifier {
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub stored_key: Zeroizing<Key>,
    pub server_key: Zeroizing<Key>,
}

impl Verifier {
    fn parse(text: &str) -> Option<Self> {
        let (head, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text: &str| Some(Zeroizing::new(Key::try_from(BASE64.decode(text).ok()?).ok()?));
        Some(Self {
            iterations: iterations.parse().ok().filter(|number| (1..=MAX_ITERATIONS).contains(number))?,
            salt: BASE64.decode(salt).ok().filter(|salt| !salt.is_empty())?,
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }

    pub fn of_password(password: &[u8], salt: Vec<u8>) -> Self {
        let mut salted = Zeroizing::new(Key::default());
        let iterations = NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password, &mut *salted);
        let client_key = Zeroizing::new(sign(&*salted, b"Client Key"));
        let stored_key = Zeroizing::new(sha256(&*client_key));
        let server_key = Zeroizing::new(sign(&*salted, b"Server Key"));
        Self { iterations: ITERATIONS, salt, stored_key, server_key }
    }
}

/// The clients' passwords.
pub struct Passwords {
    by_user: HashMap<Vec<u8>, Verifier>,
    /// Makes salts for plain passwords, and makes them up for unknown users: the same ones each time, even after the file was
    /// read again, so that clients cannot find out which users exist.
    salt_key: &'static Key,
}

/// This process' key for salts.
fn salt_key() -> Result<&'static Key, String> {
    static KEY: OnceLock<Key> = OnceLock::new();
    if let Some(key) = KEY.get() {
        return Ok(key);
    }
    let mut key = Key::default();
    SystemRandom::new().fill(&mut key).map_err(|_| "the operating system provides no random numbers".to_owned())?;
    Ok(KEY.get_or_init(|| key))
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("users", &self.by_user.len()).finish_non_exhaustive()
    }
}

impl Passwords {
    /// Parses lines of `USER:PASSWORD`, where the password may be a verifier as in `pg_authid`.
    ///
    /// # Errors
    /// A line is malformed. The error names its number, and not what it contains.
    pub fn parse(text: &str) -> Result<Self, String> {
        let salt_key = salt_key()?;
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
                let salt = sign(salt_key, user.as_bytes())[..SALT_LENGTH].to_vec();
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
        Ok(Self { by_user, salt_key })
    }

    /// Begins the exchange with a client that says it is `user`.
    #[must_use]
    pub fn begin(&self, user: &[u8]) -> Exchange {
        let known = self.by_user.get(user).cloned();
        let exists = known.is_some();
        let verifier = known.unwrap_or_else(|| {
            let made_up = sign(self.salt_key, user);
            Verifier {
                iterations: ITERATIONS,
                salt: made_up[..SALT_LENGTH].to_vec(),
                stored_key: Zeroizing::new(made_up),
                server_key: Zeroizing::new(made_up),
            }
        });
        Exchange::new(verifier, exists)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::exchange::tests::initial, *};

    #[test]
    fn the_key_for_salts_is_random() {
        assert_ne!(salt_key().unwrap(), &Key::default());
    }

    #[test]
    fn a_user_who_does_not_exist_looks_like_one() {
        let passwords = Passwords::parse("ann:secret\n").unwrap();
        let salt = |user: &[u8]| {
            let (_, answer) =
                passwords.begin(user).challenge(&initial("SCRAM-SHA-256", "n,,n=,r=abc"), "x").ok().unwrap();
            answer
        };
        assert_eq!(salt(b"nobody"), salt(b"nobody"));
        assert_ne!(salt(b"nobody"), salt(b"no-one"));
        assert_eq!(salt(b"ann").len(), salt(b"nobody").len());
        let again = Passwords::parse("ann:another\n").unwrap();
        for user in [b"ann".as_slice(), b"nobody"] {
            let asked = |passwords: &Passwords| {
                passwords.begin(user).challenge(&initial("SCRAM-SHA-256", "n,,n=,r=abc"), "x").ok().unwrap().1
            };
            assert_eq!(asked(&passwords), asked(&again), "a changed salt would tell them apart");
        }
    }

    #[test]
    fn a_file_is_parsed_line_by_line_and_errors_contain_no_secret() {
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
