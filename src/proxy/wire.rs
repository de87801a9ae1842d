//! PostgreSQL's messages, as far as a login needs them.

#[cfg(any(test, fuzzing))]
pub mod fuzz;

use zeroize::Zeroizing;

/// Return a message of this type.
#[must_use]
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// Return an Authentication message with this code.
#[must_use]
pub fn authentication(code: u32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes()[..], data].concat())
}

/// Return the answer to `AuthenticationCleartextPassword`.
#[must_use]
pub fn password(password: &str) -> Zeroizing<Vec<u8>> {
    let length = u32::try_from(password.len() + 5).unwrap_or(u32::MAX);
    let mut message = Zeroizing::new(Vec::with_capacity(password.len() + 6));
    message.push(b'p');
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(password.as_bytes());
    message.push(0);
    message
}

/// Return the `ErrorResponse` that ends a connection.
#[must_use]
pub fn fatal(sqlstate: &str, text: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(text.len() + 40);
    for (field, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', sqlstate), (b'M', text)] {
        body.push(field);
        body.extend(value.bytes().filter(|byte| *byte != 0));
        body.push(0);
    }
    body.push(0);
    message(b'E', &body)
}

/// The length of a message is invalid or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'buffer> {
    /// Its type.
    pub kind: u8,
    /// Its body.
    pub body: &'buffer [u8],
    /// Its whole length.
    pub length: usize,
}

/// Return the first message of `buffer`, or `None` if it is not complete.
///
/// # Errors
/// Its length is invalid or greater than `longest`.
pub fn first_message(buffer: &[u8], longest: usize) -> Result<Option<Message<'_>>, Malformed> {
    let Some((kind, rest)) = buffer.split_first() else { return Ok(None) };
    let Some((length, _)) = rest.split_first_chunk() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if !(4..=longest).contains(&length) {
        return Err(Malformed);
    }
    Ok(rest.get(4..length).map(|body| Message { kind: *kind, body, length: length + 1 }))
}

/// Return a field of an `ErrorResponse`'s body.
#[must_use]
pub fn error_field(body: &[u8], wanted: u8) -> Option<String> {
    let mut fields = body.split(|byte| *byte == 0);
    let value =
        fields.find_map(|field| field.split_first().filter(|(kind, _)| **kind == wanted).map(|(_, value)| value));
    value.map(|value| String::from_utf8_lossy(value).into_owned())
}

/// Overwrite each occurrence of a secret. The messages that have it keep their lengths.
pub fn hide(bytes: &mut [u8], secret: &[u8]) {
    let mut at = 0;
    while !secret.is_empty() && at + secret.len() <= bytes.len() {
        if bytes[at..].starts_with(secret) {
            bytes[at..at + secret.len()].fill(b'*');
            at += secret.len();
        } else {
            at += 1;
        }
    }
}

/// Looks for `BackendKeyData` among the messages between a server's acceptance of a login and its first `ReadyForQuery`.
#[derive(Debug, Default)]
pub struct KeyFinder {
    /// The type and length of the current message, and the body if it is `BackendKeyData`.
    begun: Vec<u8>,
    /// How many bytes of it are still to be skipped.
    skip: usize,
    over: bool,
    key: Option<Box<[u8]>>,
}

const LONGEST_KEY: usize = 4 + 4 + 256;

impl KeyFinder {
    /// Reads more bytes. Return whether the search is over.
    pub fn read(&mut self, mut bytes: &[u8]) -> bool {
        while !self.over && !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                break;
            }
            let wanted = self.wanted();
            let taken = (wanted - self.begun.len()).min(bytes.len());
            self.begun.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.begun.len() == self.wanted() {
                self.end_of_part();
            }
        }
        self.over
    }

    /// Return the process id and the key, if there were any.
    #[must_use]
    pub fn key(self) -> Option<Box<[u8]>> {
        self.key
    }

    /// Return how many bytes of the message have to be collected.
    fn wanted(&self) -> usize {
        let is_key = self.begun.first() == Some(&b'K') && (12..=LONGEST_KEY).contains(&self.length());
        if is_key { 1 + self.length() } else { 5 }
    }

    fn length(&self) -> usize {
        let length = self.begun.get(1..5).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX)
    }

    fn end_of_part(&mut self) {
        let length = self.length();
        match self.begun[0] {
            b'K' if (12..=LONGEST_KEY).contains(&length) => {
                // Either all of it has arrived, or its body comes next.
                if self.begun.len() == 1 + length {
                    self.key = Some(self.begun[5..].into());
                    self.over = true;
                    self.begun = Vec::new();
                }
            }
            // ReadyForQuery, an error, or something else than a message.
            b'K' | b'Z' | b'E' => self.over = true,
            _ if length < 4 => self.over = true,
            _ => {
                self.skip = length - 4;
                self.begun.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_protocol() {
        assert_eq!(authentication(10, b"SCRAM-SHA-256\0\0"), b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0");
        assert_eq!(*password("e30.x"), b"p\0\0\0\x0ae30.x\0");
        assert_eq!(fatal("08P01", "n\0o"), b"E\0\0\0\x1eSFATAL\0VFATAL\0C08P01\0Mno\0\0");
    }

    #[test]
    fn a_secret_is_hidden_wherever_it_stands() {
        for (said, expected) in
            [("abab", "****"), ("aab ab a", "a** ** a"), ("------ab", "------**"), ("a", "a"), ("", "")]
        {
            let mut bytes = said.as_bytes().to_vec();
            hide(&mut bytes, b"ab");
            assert_eq!(bytes, expected.as_bytes());
        }
    }

    #[test]
    fn a_key_is_found_in_pieces_of_any_size() {
        for length in [8, 36, 260] {
            let key: Vec<u8> = (0..length).map(|number| u8::try_from(number % 251).unwrap()).collect();
            let said =
                [message(b'S', b"a\0b\0"), message(b'N', &[b'K'; 900]), message(b'K', &key), message(b'Z', b"I")];
            let said = said.concat();
            for step in [1, 2, 3, 5, 7, 64, said.len()] {
                let mut finder = KeyFinder::default();
                assert!(said.chunks(step).any(|part| finder.read(part)));
                assert_eq!(finder.key().as_deref(), Some(&*key), "in steps of {step}");
            }
        }
    }

    #[test]
    fn the_search_ends_without_a_key() {
        for end in [
            message(b'Z', b"I"),
            message(b'E', b"SFATAL\0\0"),
            message(b'K', &[0; 261]),
            // Its body is not waited for.
            vec![b'K', 0x7f, 0xff, 0xff, 0xff],
            vec![b'x', 0, 0, 0, 1],
        ] {
            let mut finder = KeyFinder::default();
            assert!(!finder.read(&message(b'S', b"a\0b\0")));
            assert!(finder.read(&end));
            assert_eq!(finder.key(), None);
        }
    }

    #[test]
    fn an_error_is_read_field_by_field() {
        let error = fatal("28P01", "no\0thing");
        let Message { kind, body, length } = first_message(&error, 1000).unwrap().unwrap();
        assert_eq!((kind, length), (b'E', error.len()));
        assert_eq!(error_field(body, b'C').as_deref(), Some("28P01"));
        assert_eq!(error_field(body, b'M').as_deref(), Some("nothing"));
        assert_eq!(error_field(body, b'H'), None);
        assert_eq!(first_message(&error[..error.len() - 1], 1000), Ok(None));
        assert_eq!(first_message(&error, 10), Err(Malformed));
        assert_eq!(first_message(&[b'E', 0, 0, 0, 3], 10), Err(Malformed));
    }
}
