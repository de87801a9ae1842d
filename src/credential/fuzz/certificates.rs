//! Certificates with private keys, in PEM and PKCS#12.

use super::assert_silent;
use crate::credential::SigningCertificate;

/// The password of encrypted keys in the corpus.
const PASSWORD: &str = "dr0wss4p-of-the-key";

/// Read `input` as a certificate: with no password, a wrong one, and the right one.
///
/// # Panics
/// A property does not hold.
pub fn check(input: &[u8]) {
    for password in [None, Some("wr0ng-p4ssword"), Some(PASSWORD)] {
        match SigningCertificate::read(input, password.map(Into::into).as_ref()) {
            Ok(certificate) => check_assertion(&certificate),
            Err(why) => {
                assert_silent(&why, password.as_slice());
                assert!(why.len() < 500, "an error is long: {why}");
                // A key's text in PEM; words of ours are shorter.
                let longest = why.split(|letter: char| !letter.is_ascii_alphanumeric()).map(str::len).max();
                assert!(longest < Some(40), "an error shows a piece of a key: {why}");
            }
        }
    }
}

fn check_assertion(certificate: &SigningCertificate) {
    assert_eq!(format!("{certificate:?}"), "SigningCertificate { .. }");
    match certificate.assertion("https://login.example.com/", "client", true) {
        Ok(assertion) => assert_eq!(assertion.expose().split('.').count(), 3, "an assertion is a JWT"),
        Err(why) => assert!(why.ends_with("private key is damaged"), "{why}"),
    }
}
