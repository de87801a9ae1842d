//! What TLS is set up with: always verified towards servers, with the operator's certificate towards clients.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{Resumption, UnbufferedClientConnection},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{NoServerSessionStorage, UnbufferedServerConnection},
};

use super::channel::Tls;

/// PostgreSQL 17 and later answer to it, others pass it over; it keeps the connection from being led to another protocol.
const ALPN: &[u8] = b"postgresql";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| format!("{}: {error}", path.display()))?;
    if found.is_empty() {
        return Err(format!("{}: the file holds no certificate in PEM", path.display()));
    }
    Ok(found)
}

/// TLS towards servers, verified against the roots in a PEM file, name included.
///
/// # Errors
/// The file cannot be read or holds no root certificates.
pub fn towards_servers(roots: &Path) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates(roots)?);
    if added == 0 {
        return Err(format!("{}: no certificate in it can be a root", roots.display()));
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    // PostgreSQL resumes no sessions.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// A session with the server of that name.
///
/// # Errors
/// It cannot be a server's name.
pub fn with_server(config: &Arc<ClientConfig>, name: &ServerName<'static>) -> Result<Tls, rustls::Error> {
    UnbufferedClientConnection::new(Arc::clone(config), name.clone()).map(Tls::Client)
}

/// TLS towards clients.
///
/// # Errors
/// A file cannot be read, or key and certificate do not belong together.
pub fn towards_clients(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.with_no_client_auth();
    let config = builder.with_single_cert(chain, private);
    let mut config = config.map_err(|error| format!("{}: {error}", certificate.display()))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// A session with a client.
///
/// # Errors
/// The configuration is unusable.
pub fn with_client(config: &Arc<ServerConfig>) -> Result<Tls, rustls::Error> {
    UnbufferedServerConnection::new(Arc::clone(config)).map(Tls::Server)
}
