//! A token's file: its name, what is in it, and how it is replaced.

#[cfg(any(test, fuzzing))]
pub(in crate::credential) mod fuzz;

use std::{
    fs,
    hash::Hasher,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ring::hmac;
use serde_json::{Value, json};

use super::{
    VARIABLE,
    folder::{Unreadable, private_name, read_private},
    logged,
};
use crate::{
    cache::{FetchedToken, Unwanted, policy::Lifetime},
    credential::TokenSource,
    platform::{
        clock::{Clock, SystemClock},
        private_file,
        secret::Secret,
    },
};

/// No entry comes near it.
const LARGEST_ENTRY: u64 = 64 * 1024;
/// Part of each name, so that versions that write another format do not meet.
const FORMAT: &[u8] = b"1";

/// One credential's and scope's file.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) file: PathBuf,
    pub(super) name: String,
    key: hmac::Key,
}

impl Entry {
    /// The entry of a credential and a scope in this folder.
    pub(super) fn new(folder: &Path, key: hmac::Key, source: &dyn TokenSource, scope: &str) -> Self {
        let mut name = Keyed(hmac::Context::with_key(&key));
        name.write(FORMAT);
        name.write_field(scope.as_bytes());
        name.write_field(source.name().as_bytes());
        for (variable, value) in environment() {
            name.write_field(variable.as_bytes());
            name.write_field(value.as_bytes());
        }
        source.fingerprint(&mut name);
        let name = hex(name.0.sign().as_ref());
        Self { file: folder.join(&name), name, key }
    }

    /// The token in the file, if there is one that is not `unwanted` and as good as `wanted`.
    pub(super) fn read(
        &self,
        unwanted: &Unwanted,
        wanted: impl Fn(&Lifetime, &dyn Clock) -> bool,
    ) -> Option<FetchedToken> {
        let (token, obtained_on) = match read_private(&self.file, LARGEST_ENTRY) {
            Ok(bytes) => logged(self.opened(&bytes))?,
            Err(Unreadable::Absent) => return None,
            Err(Unreadable::Refused(reason)) => return logged(Err(reason)),
        };
        let clock = SystemClock;
        let age = clock.wall().duration_since(obtained_on).unwrap_or_default();
        let life = Lifetime::started(&clock, age, token.expires_at, token.refresh_at)?;
        (!unwanted.includes(&token.secret, obtained_on) && wanted(&life, &clock)).then_some(token)
    }

    fn opened(&self, bytes: &[u8]) -> Result<(FetchedToken, SystemTime), String> {
        let changed = || format!("{} is damaged or was changed; a new token replaces it", self.file.display());
        let split = bytes.len().checked_sub(hmac::HMAC_SHA256.digest_algorithm().output_len()).ok_or_else(changed)?;
        let (text, tag) = bytes.split_at(split);
        hmac::verify(&self.key, &self.signed(text), tag).map_err(|_| changed())?;
        let entry: Value = serde_json::from_slice(text).map_err(|_| changed())?;
        let date = |name| UNIX_EPOCH.checked_add(Duration::from_secs(entry.get(name)?.as_u64()?));
        let token = entry.get("token").and_then(Value::as_str).map(Secret::from).ok_or_else(changed)?;
        let token = FetchedToken {
            secret: token,
            expires_at: date("expires_on").ok_or_else(changed)?,
            refresh_at: date("refresh_on"),
            from_shared_cache: true,
        };
        Ok((token, date("obtained_on").ok_or_else(changed)?))
    }

    /// Puts a token in the file, unless one that lives longer is there already and not `unwanted`.
    pub(super) fn write(&self, token: &FetchedToken, unwanted: &Unwanted) -> Result<(), String> {
        let seconds = |date: SystemTime| date.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = json!({
            "token": token.secret.expose(),
            "expires_on": seconds(token.expires_at),
            "refresh_on": token.refresh_at.map(seconds),
            "obtained_on": seconds(SystemTime::now()),
        })
        .to_string();
        let mut bytes = zeroize::Zeroizing::new(text.into_bytes());
        let tag = hmac::sign(&self.key, &self.signed(&bytes));
        bytes.extend_from_slice(tag.as_ref());
        let fresh = private_name(&self.file);
        let replaced = (|| {
            private_file::options().write(true).create_new(true).open(&fresh)?.write_all(&bytes)?;
            let lock = private_file::options().write(true).create(true).open(self.file.with_extension("lock"))?;
            // Not waited for: a process that was stopped may hold it, and not every file system has locks. Without it, one
            // that lives longer might be replaced.
            let locked = lock.try_lock().is_ok();
            let lives_longer = |life: &Lifetime, _: &dyn Clock| life.expires_on > token.expires_at;
            let outcome = if self.read(unwanted, lives_longer).is_some() {
                fs::remove_file(&fresh)
            } else {
                fs::rename(&fresh, &self.file)
            };
            if locked {
                // Closing it would not do: a child that was forked meanwhile has it open, too.
                let _ = lock.unlock(); // closing has to do then
            }
            outcome
        })();
        replaced.map_err(|error: io::Error| {
            let _ = fs::remove_file(&fresh); // it may not exist
            format!("could not write {}: {error}", self.file.display())
        })
    }

    /// What the tag of an entry is made of: its name, so that no file passes for another, and its text.
    fn signed(&self, text: &[u8]) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::new([self.name.as_bytes(), b"\0", text].concat())
    }
}

/// A hasher whose outcome depends on a key.
struct Keyed(hmac::Context);

impl Keyed {
    /// With its length, so that two fields never look like two others.
    fn write_field(&mut self, bytes: &[u8]) {
        self.write(&(bytes.len() as u64).to_le_bytes());
        self.write(bytes);
    }
}

impl Hasher for Keyed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// What credentials read of the environment, sorted.
fn environment() -> Vec<(String, String)> {
    let mut settings: Vec<_> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| ["AZURE_", "IDENTITY_", "IMDS_", "MSI_"].iter().any(|prefix| name.starts_with(prefix)))
        .filter(|(name, _)| name != VARIABLE)
        .collect();
    settings.sort_unstable();
    settings
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
