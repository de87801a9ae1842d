//! The certification authorities that Entra ID's certificate may lead to.
//!
//! rustls asks the system. `SSL_CERT_FILE` and `SSL_CERT_DIR` name others, which rustls itself reads on Linux only. Companies
//! that inspect TLS also set `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE`, which requests and so azure-identity for Python read.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use reqwest::Certificate;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    credential::variable,
    platform::variables::{self, SSL_CERT_DIR, SSL_CERT_FILE},
};

/// In the order in which requests reads them.
const VARIABLES: [&str; 2] = [variables::REQUESTS_CA_BUNDLE, variables::CURL_CA_BUNDLE];

/// The authorities that the environment names; `None` if it names none.
///
/// # Errors
/// They cannot be read, or are not certificates.
pub fn named() -> Result<Option<Vec<Certificate>>, String> {
    let (file, directories) = (variable(SSL_CERT_FILE), variable(SSL_CERT_DIR));
    if file.is_some() || directories.is_some() {
        let directories = directories.iter().flat_map(|paths| env::split_paths(paths));
        let paths = file.map(PathBuf::from).into_iter().chain(directories);
        // One of them may be missing, as for OpenSSL.
        let certificates: Vec<_> = paths.flat_map(|path| read(&path).unwrap_or_default()).collect();
        if certificates.is_empty() {
            return Err(format!("{SSL_CERT_FILE} and {SSL_CERT_DIR} lead to no certificates in PEM format"));
        }
        return Ok(Some(certificates));
    }
    let set = VARIABLES.into_iter().find_map(|name| variable(name).map(|path| (name, path)));
    let Some((name, path)) = set else { return Ok(None) };
    bundle(name, &path).map(Some)
}

/// The authorities in a file or a directory, which `name` names.
///
/// # Errors
/// It cannot be read, or holds no certificates.
pub fn bundle(name: &str, path: &str) -> Result<Vec<Certificate>, String> {
    let certificates = read(Path::new(path)).map_err(|error| format!("{name}={path}: {error}"))?;
    if certificates.is_empty() {
        return Err(format!("{name}={path}: it contains no certificates in PEM format"));
    }
    Ok(certificates)
}

fn read(path: &Path) -> io::Result<Vec<Certificate>> {
    if !path.is_dir() {
        return Ok(parse(&fs::read(path)?));
    }
    let mut all = Vec::new();
    for entry in fs::read_dir(path)? {
        // A directory for OpenSSL holds links by hash beside the files; some may lead nowhere.
        let content = fs::read(entry?.path()).unwrap_or_default();
        all.extend(parse(&content));
    }
    Ok(all)
}

/// The certificates in a PEM file, without those that rustls cannot use: reqwest would refuse all because of one.
fn parse(content: &[u8]) -> Vec<Certificate> {
    let usable = |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone()).is_ok();
    let certificates = CertificateDer::pem_slice_iter(content).flatten().filter(usable);
    certificates.filter_map(|certificate| Certificate::from_der(&certificate).ok()).collect()
}
