//! What the fuzzer checks of the shared cache: what is written is what is read, and nothing else is.

#![allow(clippy::expect_used, reason = "a panic is how a target fails")]

use async_trait::async_trait;
use tokio::time::Instant;

use super::{super::folder, *};
use crate::{credential::fuzz::assert_silent, error::Error, platform::scratch::Scratch};

#[derive(Debug)]
struct Source;

#[async_trait]
impl TokenSource for Source {
    fn name(&self) -> &'static str {
        "Source"
    }

    async fn fetch(&self, _scope: &str, _deadline: Instant) -> Result<FetchedToken, Error> {
        Err(Error::EmptyToken)
    }
}

/// Read `input` as a file of the cache, as what such a file says, and as a token to keep there.
///
/// # Panics
/// A property does not hold.
pub fn check(input: &[u8]) {
    let entry = entry("scope");
    assert!(entry.opened(input).is_err(), "nobody else can make an entry");
    check_content(&entry, input);
    if let Ok(text) = str::from_utf8(input) {
        check_round_trip(&entry, text);
    }
}

/// What a file says that has the right tag.
fn check_content(entry: &Entry, text: &[u8]) {
    let tag = hmac::sign(&entry.key, &entry.signed(text));
    let file = [text, tag.as_ref()].concat();
    match entry.opened(&file) {
        Ok((token, _)) => {
            assert!(token.from_shared_cache);
            let said: Value = serde_json::from_slice(text).expect("it was read");
            assert_eq!(said["token"].as_str(), Some(token.secret.expose()));
            let stated = |date: SystemTime| date.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).ok();
            assert_eq!(said["expires_on"].as_u64(), stated(token.expires_at));
            if token.secret.expose().len() > 8 {
                assert_silent(&format!("{token:?}"), &[token.secret.expose()]);
            }
        }
        Err(why) => assert!(why.ends_with("a new token replaces it"), "{why}"),
    }
    let other = self::entry("other scope");
    assert!(other.opened(&file).is_err(), "no file passes for another");
}

/// The first two bytes set how long the token lives.
fn check_round_trip(entry: &Entry, text: &str) {
    let bytes = text.as_bytes();
    let [first, second, ..] = bytes else { return };
    let life = Duration::from_secs(60 * u64::from(u16::from_be_bytes([*first, *second]) >> 4) + 60);
    let now = Duration::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let mut token = FetchedToken::new(text.into(), UNIX_EPOCH + now + life);
    token.refresh_at = first.is_multiple_of(2).then(|| UNIX_EPOCH + now + life / 2);
    let _ = fs::remove_file(&entry.file); // of the input before
    if u64::try_from(bytes.len()).is_ok_and(|length| 6 * length + 200 > LARGEST_ENTRY) {
        return;
    }
    entry.write(&token, &Unwanted::default()).expect("the folder is writable");
    let read = |unwanted: &Unwanted| entry.read(unwanted, |_, _| true);
    let found = read(&Unwanted::default()).expect("what is written is there");
    assert_eq!(
        (found.secret.expose(), found.expires_at, found.refresh_at),
        (text, token.expires_at, token.refresh_at),
        "what is written is read"
    );
    let known = Unwanted { known: Some(token.secret.clone()), refused_on: None };
    assert!(read(&known).is_none(), "a token that the caller has is no other");
    let shorter = FetchedToken::new("shorter".into(), token.expires_at - Duration::from_secs(30));
    entry.write(&shorter, &Unwanted::default()).expect("the folder is writable");
    assert_eq!(
        read(&Unwanted::default()).map(|found| found.secret),
        Some(token.secret),
        "the one that lives longer stays"
    );
    entry.write(&shorter, &known).expect("the folder is writable");
    assert_eq!(
        read(&Unwanted::default()).map(|found| found.secret),
        Some(shorter.secret),
        "unless it is the one to be replaced"
    );
    let mut file = fs::read(&entry.file).expect("it is there");
    let place = usize::from(*first) * usize::from(*second) % file.len();
    file[place] ^= 1 << (second % 8);
    assert!(entry.opened(&file).is_err(), "a changed file is not used");
}

fn entry(scope: &str) -> Entry {
    thread_local! {
        static FOLDER: (Scratch, hmac::Key) = {
            let folder = Scratch::path();
            folder::check(&folder).expect("the folder can be made");
            let key = folder::key(&folder).expect("a key can be made");
            (folder, key)
        };
    }
    FOLDER.with(|(folder, key)| Entry::new(folder, key.clone(), &Source, scope))
}
