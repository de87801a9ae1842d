//! A certificate with its private key, and the assertions that are signed with it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use p12_keystore::Pkcs12Archive;
use pkcs8::{
    EncryptedPrivateKeyInfoRef,
    pkcs5::{EncryptionScheme, pbes2::Kdf},
};
use ring::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    rand::{SecureRandom, SystemRandom},
    signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::platform::secret::Secret;

/// An assertion's life, as long as MSAL's; it is used at once.
const ASSERTION_LIFE: Duration = Duration::from_secs(600);

/// The certificate and the key of an application.
pub struct SigningCertificate {
    key: RsaKeyPair,
    /// In DER, the signing one first.
    chain: Vec<Vec<u8>>,
}

impl std::fmt::Debug for SigningCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningCertificate").finish_non_exhaustive()
    }
}

impl SigningCertificate {
    /// Read PEM or PKCS#12.
    ///
    /// # Errors
    /// The text says what is missing or wrong.
    pub fn read(data: &[u8], password: Option<&Secret>) -> Result<Self, String> {
        let (key, mut chain) = match std::str::from_utf8(data) {
            Ok(text) if text.contains(PEM_BEGIN) => read_pem(text, password)?,
            _ => read_pkcs12(data, password)?,
        };
        let public = key.public_key().as_ref();
        // The certificate holds the public key in the same encoding as the private key.
        let own = chain.iter().position(|certificate| certificate.windows(public.len()).any(|part| part == public));
        let own = own.ok_or(if chain.is_empty() {
            "it holds a private key but no certificate"
        } else {
            "its private key belongs to none of its certificates"
        })?;
        chain[..=own].rotate_right(1);
        Ok(Self { key, chain })
    }

    /// A JSON Web Token that authenticates `client_id` to `audience`. It includes the certificates if asked for, so that a
    /// certificate can be recognized by its subject and issuer.
    ///
    /// # Errors
    /// The private key is damaged, or the machine has no random numbers.
    pub fn assertion(&self, audience: &str, client_id: &str, send_chain: bool) -> Result<Secret, String> {
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.chain[0]));
        // As azure-identity for Python and for Rust do.
        let mut header = json!({"alg": "RS256", "typ": "JWT", "x5t": thumbprint});
        if send_chain {
            header["x5c"] = self.chain.iter().map(|certificate| STANDARD.encode(certificate)).collect();
        }
        let random = SystemRandom::new();
        let mut id = [0; 16];
        random.fill(&mut id).map_err(|_| NO_RANDOM)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": URL_SAFE_NO_PAD.encode(id),
            "iat": now.as_secs(),
            "nbf": now.as_secs(),
            "exp": (now + ASSERTION_LIFE).as_secs(),
        });
        let encode = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).map_err(|_| DAMAGED)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }
}

/// ring checks a key's parts against each other only by its signatures.
const DAMAGED: &str = "the assertion could not be signed: the certificate's private key is damaged";
const NO_RANDOM: &str = "the assertion could not be signed: the operating system provides no random numbers";
const PEM_BEGIN: &str = "-----BEGIN ";
const ENCRYPTED: &str = "its private key is encrypted: give its password";
const WRONG_PASSWORD: &str = "the password is wrong for its private key";
const EXCESSIVE: &str = "its private key is encrypted so that decrypting it takes too much time or memory; \
     convert it with `openssl pkcs8 -topk8`";
const NOT_RSA: &str = "its private key is not an RSA key of 2048 to 4096 bits, which Entra ID requires";

type Parts = (RsaKeyPair, Vec<Vec<u8>>);

fn read_pem(text: &str, password: Option<&Secret>) -> Result<Parts, String> {
    let mut key = None;
    let mut chain = Vec::new();
    for section in text.split(PEM_BEGIN).skip(1) {
        let Some((label, rest)) = section.split_once("-----") else { continue };
        let body = rest.split("-----END").next().unwrap_or_default();
        if !matches!(label, "CERTIFICATE" | "PRIVATE KEY" | "RSA PRIVATE KEY" | "ENCRYPTED PRIVATE KEY") {
            if label.ends_with("PRIVATE KEY") {
                return Err(NOT_RSA.to_owned());
            }
            continue;
        }
        if body.contains("Proc-Type:") {
            return Err(
                "its private key is encrypted in OpenSSL's traditional format; convert it with `openssl pkcs8 -topk8`"
                    .to_owned(),
            );
        }
        let base64: String = body.split_ascii_whitespace().collect();
        let der =
            Zeroizing::new(STANDARD.decode(base64).map_err(|_| format!("its {label} is damaged: it is not base64"))?);
        match label {
            "CERTIFICATE" => chain.push(der.to_vec()),
            "PRIVATE KEY" => key = Some(RsaKeyPair::from_pkcs8(&der).map_err(|_| NOT_RSA)?),
            "RSA PRIVATE KEY" => key = Some(RsaKeyPair::from_der(&der).map_err(|_| NOT_RSA)?),
            _ => {
                let password = password.ok_or(ENCRYPTED)?;
                let encrypted = EncryptedPrivateKeyInfoRef::try_from(der.as_slice())
                    .map_err(|_| "its private key is damaged, or encrypted in a way that is not known here")?;
                if !is_affordable(&encrypted.encryption_algorithm) {
                    return Err(EXCESSIVE.to_owned());
                }
                let plain = encrypted.decrypt(password.expose()).map_err(|_| WRONG_PASSWORD)?;
                key = Some(RsaKeyPair::from_pkcs8(plain.as_bytes()).map_err(|_| NOT_RSA)?);
            }
        }
    }
    let key = key.ok_or("it holds no private key, which has to be in the same file")?;
    Ok((key, chain))
}

/// Whether a key's password is stretched so little that no file can take a machine's time or memory.
fn is_affordable(scheme: &EncryptionScheme) -> bool {
    // p12-keystore's own limit for PKCS#12, and OpenSSL's for scrypt.
    const MAX_ITERATIONS: u32 = 1_000_000;
    const MAX_MEMORY: u64 = 32 << 20;
    const MAX_PARALLELIZATION: u16 = 16;
    match scheme {
        EncryptionScheme::Pbes2(parameters) => match &parameters.kdf {
            Kdf::Pbkdf2(kdf) => kdf.iteration_count <= MAX_ITERATIONS,
            Kdf::Scrypt(kdf) => {
                let memory = kdf.cost_parameter.checked_mul(128 * u64::from(kdf.block_size));
                kdf.parallelization <= MAX_PARALLELIZATION && memory.is_some_and(|memory| memory <= MAX_MEMORY)
            }
            _ => false,
        },
        _ => true,
    }
}

fn read_pkcs12(data: &[u8], password: Option<&Secret>) -> Result<Parts, String> {
    use p12_keystore::error::Error;
    let archive = Pkcs12Archive::from_pkcs12(data, password.map(Secret::expose).unwrap_or_default());
    let archive = archive.map_err(|error| match (error, password) {
        (Error::MacError(_), None) => "it is encrypted: give its password".to_owned(),
        (Error::MacError(_), Some(_)) => "the password is wrong".to_owned(),
        (Error::DerError(_), _) => "it is neither PEM nor PKCS#12".to_owned(),
        (error, _) => format!("its PKCS#12 could not be read: {error}"),
    })?;
    let key = archive.keys.first().ok_or("it holds no private key, which has to be in the same file")?;
    let key = RsaKeyPair::from_pkcs8(key.key.as_der()).map_err(|_| NOT_RSA)?;
    Ok((key, archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_too_expensive_to_decrypt_is_refused() {
        for (what, der) in [
            (
                "scrypt with 1 PiB",
                "MIGXMFMGCSqGSIb3DQEFDTBGMCUGCSsGAQQB2kcECzAYBAhzc3Nzc3NzcwIGAQAAAAAAAgEIAgEBMB0GCWCGSAFlAwQBKgQQaWlpaWlpaWlpaWlpaWlpaQRAeHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA==",
            ),
            (
                "scrypt with 60,000 lanes",
                "MIGVMFEGCSqGSIb3DQEFDTBEMCMGCSsGAQQB2kcECzAWBAhzc3Nzc3NzcwICQAACAQgCAwDqYDAdBglghkgBZQMEASoEEGlpaWlpaWlpaWlpaWlpaWkEQHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=",
            ),
            (
                "PBKDF2 with 99,999,999 iterations",
                "MIGdMFkGCSqGSIb3DQEFDTBMMCsGCSqGSIb3DQEFDDAeBAhzc3Nzc3NzcwIEBfXg/zAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQaWlpaWlpaWlpaWlpaWlpaQRAeHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA==",
            ),
        ] {
            let pem = format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{der}\n-----END ENCRYPTED PRIVATE KEY-----\n");
            let refused = SigningCertificate::read(pem.as_bytes(), Some(&"password".into())).err();
            assert_eq!(refused.as_deref(), Some(EXCESSIVE), "{what}");
        }
    }
}
