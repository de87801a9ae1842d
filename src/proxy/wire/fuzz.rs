//! What the fuzzer checks of messages from a server: where one ends, what an error says, and which key cancels a statement.

use super::*;

/// The server's part of a session, which arrives in pieces.
///
/// # Panics
/// A property does not hold.
pub fn check(input: &[u8]) {
    let longest = 64 * 1024;
    if let Ok(Some(Message { kind, body, length })) = first_message(input, longest) {
        assert_eq!(message(kind, body), input[..length], "nothing is lost");
        for end in 0..length.min(64) {
            assert_eq!(first_message(&input[..end], longest), Ok(None), "{end} bytes are no message");
        }
    }
    check_error(input);
    let expected = key_of(input);
    // All at once, byte by byte, and in pieces that the input itself sets.
    let sizes = input.iter().map(|byte| usize::from(byte % 7) + 1);
    assert_eq!(found(input, std::iter::once(input.len().max(1))), expected, "all at once");
    assert_eq!(found(input, std::iter::repeat(1)), expected, "byte by byte");
    assert_eq!(found(input, sizes.chain(std::iter::repeat(5))), expected, "in pieces");
}

fn check_error(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let whole = fatal("08001", &text);
    let Ok(Some(Message { kind: b'E', body, length })) = first_message(&whole, usize::MAX) else {
        panic!("an error is a message");
    };
    assert_eq!(length, whole.len(), "an error is one message");
    assert_eq!(error_field(body, b'C').as_deref(), Some("08001"), "no text changes the code");
    assert_eq!(error_field(body, b'M'), Some(text.replace('\0', "")), "the text is kept");
}

fn found(bytes: &[u8], sizes: impl Iterator<Item = usize>) -> Option<Box<[u8]>> {
    let (mut finder, mut rest) = (KeyFinder::default(), bytes);
    for size in sizes {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        let over = finder.read(piece);
        assert!(finder.begun.len() <= LONGEST_KEY + 1, "{} bytes are kept", finder.begun.len());
        if over || rest.is_empty() {
            break;
        }
    }
    finder.key()
}

/// The same from a buffer that holds everything.
fn key_of(mut bytes: &[u8]) -> Option<Box<[u8]>> {
    loop {
        let (kind, rest) = bytes.split_first()?;
        let (length, _) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok().filter(|length| *length >= 4)?;
        match kind {
            b'Z' | b'E' => return None,
            b'K' if !(12..=LONGEST_KEY).contains(&length) => return None,
            b'K' => return rest.get(4..length).map(Into::into),
            _ => bytes = rest.get(length..)?,
        }
    }
}
