//! Texts of services and tools, without secrets and tokens.

use crate::platform::secret::Secret;

/// What stands for a secret.
const HIDDEN: &str = "****";

/// A message of a service or a tool, shortened, without these secrets however they are encoded, and without anything that looks
/// like a token.
pub fn redacted(text: &str, secrets: &[Secret]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty()) {
        text = without_secret(&text, secret);
    }
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_.=+/~%".contains(letter);
    let mut shown = String::new();
    let mut rest = &*text;
    while let Some(begin) = rest.find(is_part) {
        shown.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let (word, after) = rest.split_at(rest.find(|letter| !is_part(letter)).unwrap_or(rest.len()));
        match token_in(word) {
            Some(at) => shown.extend([&word[..at], HIDDEN]),
            None => shown.push_str(word),
        }
        rest = after;
    }
    shown.push_str(rest);
    shortened(shown)
}

/// The same as a literal, on one line. It is shortened again, because an escaped letter is up to ten long.
pub fn quoted(text: &str, secrets: &[Secret]) -> String {
    shortened(format!("{:?}", redacted(text, secrets)))
}

/// A URL as a literal, without what stands before its host, which may be a password. In one that is no valid URL the host may
/// be anywhere, so nothing is shown that comes before the last `@`.
pub fn quoted_url(text: &str) -> String {
    const SEPARATOR: &str = "://";
    let Some((before, rest)) = text.rsplit_once('@') else { return format!("{text:?}") };
    let scheme = before.find(SEPARATOR).map_or("", |at| &before[..at + SEPARATOR.len()]);
    format!("{:?}", format!("{scheme}{HIDDEN}@{rest}"))
}

fn shortened(mut text: String) -> String {
    const AT_MOST: usize = 2000;
    if let Some((cut, _)) = text.char_indices().nth(AT_MOST) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// Return where in a word something begins that looks like a token.
fn token_in(word: &str) -> Option<usize> {
    /// Ids, paths and codes are shorter than tokens that are no JWTs, which refresh tokens never are.
    const LONGEST_WORD: usize = 200;
    // Base64 of `{"` begins every JWT.
    let jwt = word.find("eyJ").filter(|at| word.len() - at > 20);
    jwt.or_else(|| (word.len() > LONGEST_WORD).then_some(0))
}

/// Return how long a secret is at the beginning of a text, each letter of it as it is or as forms, URLs and JSON may hold it.
fn length_of(secret: &str, text: &str) -> Option<usize> {
    let rest = secret.chars().try_fold(text, |rest, letter| after_letter(letter, rest))?;
    Some(text.len() - rest.len())
}

/// Return what follows a letter at the beginning of a text.
fn after_letter(letter: char, text: &str) -> Option<&str> {
    if letter == ' ' && text.starts_with('+') {
        return Some(&text[1..]);
    }
    text.strip_prefix(letter).or_else(|| after_escape(letter, text)).or_else(|| after_percents(letter, text))
}

/// JSON's escapes, however often a text was put into another: each time doubles the backslashes.
fn after_escape(letter: char, text: &str) -> Option<&str> {
    let bare = after_backslashes(text)?;
    let Some(digits) = bare.strip_prefix('u') else { return bare.strip_prefix(letter) };
    let mut rest = digits;
    for (index, unit) in letter.encode_utf16(&mut [0; 2]).iter().enumerate() {
        if index > 0 {
            rest = after_backslashes(rest)?.strip_prefix('u')?;
        }
        let (code, after) = rest.split_at_checked(4)?;
        if u16::from_str_radix(code, 16) != Ok(*unit) {
            // A letter that needs no escape.
            return bare.strip_prefix(letter);
        }
        rest = after;
    }
    Some(rest)
}

/// Return what follows some backslashes, but not so many that a text of nothing else would take long.
fn after_backslashes(text: &str) -> Option<&str> {
    let count = text.bytes().take(16).take_while(|byte| *byte == b'\\').count();
    (count > 0).then(|| &text[count..])
}

/// The bytes of a letter as URLs and forms hold them.
fn after_percents(letter: char, text: &str) -> Option<&str> {
    let mut rest = text;
    for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
        let (code, after) = rest.strip_prefix('%')?.split_at_checked(2)?;
        rest = (u8::from_str_radix(code, 16) == Ok(byte)).then_some(after)?;
    }
    Some(rest)
}

/// Return a text without a secret.
fn without_secret(text: &str, secret: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(letter) = rest.chars().next() {
        if let Some(length) = length_of(secret, rest) {
            shown.push_str(HIDDEN);
            rest = &rest[length..];
        } else {
            shown.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    shown
}
