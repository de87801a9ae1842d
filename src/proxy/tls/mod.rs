//! TLS: the server is always verified; clients see the operator's certificate.

mod session;

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{Resumption, UnbufferedClientConnection},
    crypto::{
        CryptoProvider,
        ring::{self, kx_group},
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{NoServerSessionStorage, UnbufferedServerConnection},
};

pub use session::TlsSession;
use zeroize::Zeroizing;

use crate::platform::private_file;

/// Keeps an attacker from diverting the connection to a service that speaks another protocol (ALPACA). PostgreSQL 17 and later
/// confirm it, earlier versions ignore it.
const ALPN: &[u8] = b"postgresql";

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let content = private_file::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let found = CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("{}: {error}", path.display()))?;
    if found.is_empty() {
        return Err(format!("{}: the file contains no PEM certificate", path.display()));
    }
    Ok(found)
}

/// Return the configuration for servers, which are verified against the roots in a PEM file, their name included.
///
/// # Errors
/// The file cannot be read or holds no root certificates.
pub fn towards_servers(roots: &Path) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates(roots)?);
    if added == 0 {
        return Err(format!("{}: the file contains no usable root certificate", roots.display()));
    }
    // A key share of another group than the first of the server's costs a round trip (HelloRetryRequest), and PostgreSQL up to 17
    // accepts P-256 alone (`ssl_ecdh_curve`).
    let provider = CryptoProvider {
        kx_groups: vec![kx_group::SECP256R1, kx_group::X25519, kx_group::SECP384R1],
        ..ring::default_provider()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    // PostgreSQL does not resume sessions.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// Begins a session with the server of this name.
///
/// # Errors
/// The configuration is unusable.
pub fn with_server(config: &Arc<ClientConfig>, name: &ServerName<'static>) -> Result<TlsSession, rustls::Error> {
    UnbufferedClientConnection::new(Arc::clone(config), name.clone()).map(TlsSession::Client)
}

/// Return the configuration for clients.
///
/// # Errors
/// A file cannot be read, or the key does not belong to the certificate.
pub fn towards_clients(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let chain = certificates(certificate)?;
    let content = Zeroizing::new(private_file::read(key).map_err(|error| format!("{}: {error}", key.display()))?);
    let private = PrivateKeyDer::from_pem_slice(&content).map_err(|error| format!("{}: {error}", key.display()))?;
    let builder =
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.with_no_client_auth();
    let config = builder.with_single_cert(chain, private);
    let mut config = config.map_err(|error| format!("{}: {error}", certificate.display()))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// Begins a session with a client.
///
/// # Errors
/// The configuration is unusable.
pub fn with_client(config: &Arc<ServerConfig>) -> Result<TlsSession, rustls::Error> {
    UnbufferedServerConnection::new(Arc::clone(config)).map(TlsSession::Server)
}
