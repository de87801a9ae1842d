//! Which certification authorities Entra ID's certificate may come from.
//!
//! rustls asks the system, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name. Companies that look into TLS also set
//! `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE`, which is what requests and so azure-identity for Python goes by.

use std::{fs, io, path::Path};

use reqwest::Certificate;

use crate::credential::variable;

/// In the order of requests.
const VARIABLES: [&str; 2] = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// The authorities that one of these names, a file or a directory; `None` if none is set, or if one of the variables is
/// that every TLS library reads.
///
/// # Errors
/// It cannot be read, or holds no certificates.
pub fn named() -> Result<Option<Vec<Certificate>>, String> {
    if variable("SSL_CERT_FILE").is_some() || variable("SSL_CERT_DIR").is_some() {
        return Ok(None);
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
        return Err(format!("{name}={path}: no certificates in PEM are there"));
    }
    Ok(certificates)
}

fn read(path: &Path) -> io::Result<Vec<Certificate>> {
    if !path.is_dir() {
        return Ok(Certificate::from_pem_bundle(&fs::read(path)?).unwrap_or_default());
    }
    let mut all = Vec::new();
    for entry in fs::read_dir(path)? {
        // A directory for OpenSSL holds links by hash beside the files; some may lead nowhere.
        let content = fs::read(entry?.path()).unwrap_or_default();
        all.extend(Certificate::from_pem_bundle(&content).unwrap_or_default());
    }
    Ok(all)
}
