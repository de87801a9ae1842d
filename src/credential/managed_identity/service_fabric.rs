//! Service Fabric's endpoint: https with a self-signed certificate, which is pinned by its thumbprint.

use std::sync::Arc;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::credential::http::transport;

/// A SHA-1 digest of a certificate.
pub type Thumbprint = [u8; 20];

/// Read a thumbprint: 40 hexadecimal digits, with or without colons.
///
/// # Errors
/// It is not a thumbprint.
pub fn thumbprint(text: &str) -> Result<Thumbprint, String> {
    let digits: String = text.chars().filter(|letter| !letter.is_ascii_whitespace() && *letter != ':').collect();
    if digits.len() == 40 && digits.chars().all(|letter| letter.is_ascii_hexdigit()) {
        let bytes = (0..20).filter_map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok());
        if let Ok(thumbprint) = bytes.collect::<Vec<_>>().try_into() {
            return Ok(thumbprint);
        }
    }
    Err(format!("IDENTITY_SERVER_THUMBPRINT={text:?}: expected the 40 hexadecimal digits of a SHA-1 thumbprint"))
}

/// A client that trusts only this certificate, and uses no proxy.
///
/// # Errors
/// TLS could not be set up.
pub fn client(thumbprint: &Thumbprint) -> Result<reqwest::Client, reqwest::Error> {
    let pinned = Pinned { thumbprint: *thumbprint, provider: Arc::new(default_provider()) };
    let config = ClientConfig::builder_with_provider(Arc::clone(&pinned.provider))
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map(|builder| builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned)).with_no_client_auth());
    match config {
        Ok(config) => transport::local_builder().tls_backend_preconfigured(config).build(),
        // Err: never with ring, which supports all versions.
        Err(_) => transport::plain_client(),
    }
}

/// Trusts a certificate by its thumbprint alone; the handshake proves that the server has its key.
#[derive(Debug)]
struct Pinned {
    thumbprint: Thumbprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate);
        if found.as_ref() == self.thumbprint {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_in_both_notations() {
        let plain = "00112233445566778899aabbccddeeff00112233";
        for good in [plain.to_uppercase(), "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33".to_owned()] {
            assert_eq!(thumbprint(&good).unwrap()[..3], [0, 0x11, 0x22]);
            assert_eq!(thumbprint(&good).unwrap()[15..], [0xff, 0, 0x11, 0x22, 0x33]);
        }
        for bad in ["", "00", &"g".repeat(40), &plain.repeat(2)] {
            assert!(thumbprint(bad).is_err(), "{bad}");
        }
    }
}
