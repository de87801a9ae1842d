//! Credentials that Entra ID itself authenticates: a secret, a certificate, or a federated assertion of an application.

mod authority;
mod azure_pipelines;
mod client_assertion;
mod client_certificate;
mod client_secret;
mod signing_certificate;
mod workload_identity;

pub use authority::Authority;
pub use azure_pipelines::AzurePipelinesCredential;
pub use client_assertion::ClientAssertionCredential;
pub use client_certificate::{CertificateSource, ClientCertificateCredential};
pub use client_secret::ClientSecretCredential;
pub use signing_certificate::SigningCertificate;
pub use workload_identity::WorkloadIdentityCredential;
