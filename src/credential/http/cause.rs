//! Why a request failed, under the errors that wrap it.

type Cause = dyn std::error::Error + 'static;

/// An error and its causes.
fn causes(error: &Cause) -> impl Iterator<Item = &Cause> {
    fn below<'a>(cause: &&'a Cause) -> Option<&'a Cause> {
        match cause.downcast_ref::<std::io::Error>() {
            // The source of an I/O error that wraps another is the other's source, so the other would be skipped.
            Some(io) => io.get_ref().map(|held| held as &Cause),
            None => cause.source(),
        }
    }
    std::iter::successors(Some(error), below)
}

/// Whether TLS refused the server's certificate.
pub fn distrusted(error: &Cause) -> bool {
    causes(error).any(|cause| matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))))
}

/// Whether the connection was refused, because no service listens at the address.
pub fn was_refused(error: &Cause) -> bool {
    let kind = |cause: &Cause| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    causes(error).any(|cause| kind(cause) == Some(std::io::ErrorKind::ConnectionRefused))
}

/// The innermost cause, which is the one that a person can act on ("Connection refused", "certificate has expired").
pub fn innermost(error: &Cause) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use azure_core::{Error, error::ErrorKind};

    use super::*;

    #[test]
    fn a_certificate_that_is_not_trusted_is_found_under_what_wraps_it() {
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = |error| Error::new(ErrorKind::Connection, std::io::Error::other(error));
        assert!(distrusted(&wrapped(refused)));
        assert!(!distrusted(&wrapped(rustls::Error::HandshakeNotComplete)));
    }
}
