//! Parses a client's packets up to the startup message.
//!
//! These are pure functions over a buffer. Anybody who can reach the socket can send them bytes, so they are small, bounded and
//! fuzzed (`fuzz/`). Except for SCRAM messages, nothing else that a client sends is parsed.
//!
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use std::fmt;

/// PostgreSQL's own limit, `MAX_STARTUP_PACKET_LENGTH`.
pub const LONGEST: usize = 10_000;
/// Length, code, process id, and a key, which has up to 256 bytes in protocol 3.2.
const LONGEST_CANCEL: usize = 12 + 256;

// Requests take the place of a version, as 1234 and a number of their own.
const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
/// The first byte of a TLS handshake record, which `sslnegotiation=direct` begins with.
const TLS_HANDSHAKE: u8 = 0x16;

/// A client's packet without a type byte.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'buffer> {
    /// The client asks for TLS.
    Ssl,
    /// The client asks for GSSAPI encryption.
    Gssenc,
    /// The client begins with TLS without a request for it.
    DirectTls,
    /// The client asks to cancel the statement of another connection.
    Cancel(CancelKey<'buffer>),
    /// The client says who it is.
    Startup(Startup<'buffer>),
}

/// Process id and secret key, as the server gave them in `BackendKeyData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelKey<'buffer>(pub &'buffer [u8]);

impl CancelKey<'_> {
    /// Return the packet for the server.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() + 8).unwrap_or(u32::MAX);
        [&length.to_be_bytes()[..], &CANCEL_REQUEST.to_be_bytes(), self.0].concat()
    }
}

/// The message that begins a session.
#[derive(Debug, PartialEq, Eq)]
pub struct Startup<'buffer> {
    /// 3.0 is `196_608`; the minor version is the server's to negotiate.
    version: u32,
    /// Names and values, each with a zero byte after it, without the zero byte that ends the message.
    parameters: &'buffer [u8],
}

impl<'buffer> Startup<'buffer> {
    /// Each parameter's name and value.
    pub fn parameters(&self) -> impl Iterator<Item = (&'buffer [u8], &'buffer [u8])> {
        let mut fields = self.parameters.split(|byte| *byte == 0);
        std::iter::from_fn(move || {
            let name = fields.next().filter(|name| !name.is_empty())?;
            Some((name, fields.next()?))
        })
    }

    /// Return a parameter unless it is empty.
    #[must_use]
    pub fn get(&self, wanted: &str) -> Option<&'buffer [u8]> {
        self.values(wanted).last().filter(|value| !value.is_empty())
    }

    /// Return whether a parameter occurs more than once. Servers may differ in which one they use.
    #[must_use]
    pub fn is_ambiguous(&self, wanted: &str) -> bool {
        self.values(wanted).nth(1).is_some()
    }

    fn values(&self, wanted: &str) -> impl Iterator<Item = &'buffer [u8]> {
        self.parameters().filter(move |(name, _)| *name == wanted.as_bytes()).map(|(_, value)| value)
    }

    /// Return the message for the server: the client's own, followed by parameters that it left out.
    #[must_use]
    pub fn message(&self, missing: &[(&str, &str)]) -> Vec<u8> {
        let mut message = vec![0; 4];
        message.extend_from_slice(&self.version.to_be_bytes());
        message.extend_from_slice(self.parameters);
        for (name, value) in missing {
            for text in [name, value] {
                message.extend_from_slice(text.as_bytes());
                message.push(0);
            }
        }
        message.push(0);
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        message[..4].copy_from_slice(&length.to_be_bytes());
        message
    }
}

/// Why a packet is refused, in PostgreSQL's own words where it has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// No packet is that short or that long.
    Length,
    /// The parameters are not pairs of strings.
    Layout,
    /// The major version is not 3.
    Version(u32),
}

impl Malformed {
    /// Return the SQLSTATE.
    #[must_use]
    pub const fn sqlstate(self) -> &'static str {
        match self {
            Self::Length | Self::Layout => "08P01",
            Self::Version(_) => "0A000",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("invalid length of startup packet"),
            Self::Layout => f.write_str("invalid startup packet layout: expected terminator as last byte"),
            Self::Version(version) => write!(
                f,
                "unsupported frontend protocol {}.{}: the proxy supports protocol 3",
                version >> 16,
                version & 0xffff
            ),
        }
    }
}

/// Return the first packet of `buffer` and its length, or `None` if it is not complete.
///
/// # Errors
/// The packet is malformed. A wrong length is found as soon as it has arrived.
pub fn read(buffer: &[u8]) -> Result<Option<(Packet<'_>, usize)>, Malformed> {
    if buffer.first() == Some(&TLS_HANDSHAKE) {
        return Ok(Some((Packet::DirectTls, 0)));
    }
    let Some((length, _)) = buffer.split_first_chunk() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if !(8..=LONGEST).contains(&length) {
        return Err(Malformed::Length);
    }
    let Some(packet) = buffer.get(4..length) else { return Ok(None) };
    let Some((code, body)) = packet.split_first_chunk() else { return Err(Malformed::Length) };
    let packet = match u32::from_be_bytes(*code) {
        SSL_REQUEST | GSSENC_REQUEST if !body.is_empty() => return Err(Malformed::Length),
        SSL_REQUEST => Packet::Ssl,
        GSSENC_REQUEST => Packet::Gssenc,
        CANCEL_REQUEST if body.len() < 8 || length > LONGEST_CANCEL => return Err(Malformed::Length),
        CANCEL_REQUEST => Packet::Cancel(CancelKey(body)),
        version if version >> 16 != 3 => return Err(Malformed::Version(version)),
        version => Packet::Startup(startup(version, body)?),
    };
    Ok(Some((packet, length)))
}

/// Parses pairs of zero-terminated strings and the zero byte after them.
fn startup(version: u32, body: &[u8]) -> Result<Startup<'_>, Malformed> {
    let mut rest = body;
    loop {
        match next_string(rest) {
            // An empty name is the terminator, which must be the last byte.
            Some(([], [])) => break,
            Some(([], _)) | None => return Err(Malformed::Layout),
            Some((_name, after)) => (_, rest) = next_string(after).ok_or(Malformed::Layout)?,
        }
    }
    Ok(Startup { version, parameters: &body[..body.len() - 1] })
}

fn next_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Checks the properties that the fuzzer looks for: no input makes the parser panic, and packets survive a round trip.
///
/// # Panics
/// A property does not hold.
pub fn check(buffer: &[u8]) {
    let Ok(Some((packet, length))) = read(buffer) else { return };
    assert!(length <= buffer.len() && length <= LONGEST, "a packet is within its buffer");
    match packet {
        Packet::Ssl | Packet::Gssenc => assert_eq!(length, 8, "a request has no body"),
        Packet::DirectTls => assert_eq!(length, 0, "nothing of TLS is read"),
        Packet::Cancel(key) => assert_eq!(key.request(), buffer[..length], "a key makes the same request"),
        Packet::Startup(startup) => {
            assert_eq!(startup.message(&[]), buffer[..length], "nothing is lost");
            assert!(startup.parameters().all(|(name, _)| !name.is_empty()), "a name has letters");
            let _ = (startup.get("user"), startup.get("database"));
            let more = startup.message(&[("user", "someone")]);
            let Ok(Some((Packet::Startup(again), whole))) = read(&more) else {
                assert!(more.len() > LONGEST, "a parameter more is a message again");
                return;
            };
            assert_eq!(whole, more.len(), "the length is right");
            assert_eq!(again.get("user"), Some(&b"someone"[..]), "the parameter is there");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    fn packet(code: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 8).unwrap();
        [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
    }

    const VERSION: u32 = 3 << 16;

    #[test]
    fn every_packet_is_read_once_it_is_complete() {
        let (key, longest) = ([7; 8], [7; 260]);
        for (bytes, expected) in [
            (packet(SSL_REQUEST, &[]), Packet::Ssl),
            (packet(GSSENC_REQUEST, &[]), Packet::Gssenc),
            (packet(CANCEL_REQUEST, &key), Packet::Cancel(CancelKey(&key))),
            (packet(CANCEL_REQUEST, &longest), Packet::Cancel(CancelKey(&longest))),
            (packet(VERSION, b"user\0a\0\0"), Packet::Startup(Startup { version: VERSION, parameters: b"user\0a\0" })),
            (packet(VERSION | 2, b"\0"), Packet::Startup(Startup { version: VERSION | 2, parameters: b"" })),
        ] {
            let with_more = [&bytes[..], b"Q"].concat();
            assert_eq!(read(&with_more), Ok(Some((expected, bytes.len()))));
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end]), Ok(None), "{end} of {bytes:?}");
            }
        }
    }

    #[test]
    fn malformed_packets_are_refused() {
        let length = |length: u32| length.to_be_bytes().to_vec();
        for (bytes, expected) in [
            (length(0), Malformed::Length),
            (length(7), Malformed::Length),
            (length(10_001), Malformed::Length),
            (length(u32::MAX), Malformed::Length),
            (b"GET / HTTP/1.1\r\n".to_vec(), Malformed::Length),
            (packet(SSL_REQUEST, b"x"), Malformed::Length),
            (packet(CANCEL_REQUEST, &[0; 7]), Malformed::Length),
            (packet(CANCEL_REQUEST, &[0; 261]), Malformed::Length),
            (packet(2 << 16, b""), Malformed::Version(2 << 16)),
            (packet(VERSION, b""), Malformed::Layout),
            (packet(VERSION, b"user\0a"), Malformed::Layout),
            (packet(VERSION, b"user\0a\0"), Malformed::Layout),
            (packet(VERSION, b"user\0\0"), Malformed::Layout),
            (packet(VERSION, b"user\0a\0\0x"), Malformed::Layout),
        ] {
            assert_eq!(read(&bytes), Err(expected), "{bytes:?}");
        }
        assert_eq!(read(&[0x16, 3, 1]), Ok(Some((Packet::DirectTls, 0))));
    }

    #[test]
    fn refusals_are_those_of_postgresql() {
        for (refusal, sqlstate, words) in [
            (Malformed::Length, "08P01", "invalid length of startup packet"),
            (Malformed::Layout, "08P01", "invalid startup packet layout: expected terminator as last byte"),
            (
                Malformed::Version(2 << 16 | 1),
                "0A000",
                "unsupported frontend protocol 2.1: the proxy supports protocol 3",
            ),
        ] {
            assert_eq!((refusal.sqlstate(), refusal.to_string().as_str()), (sqlstate, words));
        }
    }

    #[test]
    fn a_parameter_is_found_by_its_name() {
        let bytes = packet(VERSION, b"user\0a\0options\0-c x=user\0user\0b\0database\0\0\0");
        let Ok(Some((Packet::Startup(startup), _))) = read(&bytes) else { panic!("{bytes:?}") };
        assert_eq!(startup.get("user"), Some(&b"b"[..]));
        assert_eq!(startup.get("database"), None);
        assert!(startup.is_ambiguous("user") && !startup.is_ambiguous("database") && !startup.is_ambiguous("a"));
        assert_eq!(startup.get("-c x=user"), None);
    }

    #[test]
    fn the_corpus_of_the_fuzzer_holds() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/startup");
        let files: Vec<_> =
            fs::read_dir(corpus).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
        assert!(files.len() >= 10);
        for bytes in files {
            for end in 0..=bytes.len() {
                check(&bytes[..end]);
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            check(&bytes);
        }

        #[test]
        fn no_body_makes_it_panic(
            code in prop_oneof![Just(SSL_REQUEST), Just(CANCEL_REQUEST), Just(VERSION), any::<u32>()],
            body in proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..300),
        ) {
            check(&packet(code, &body));
        }
    }
}
