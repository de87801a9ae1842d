//! The proxy that the environment names for requests to Entra ID.
//!
//! reqwest reads the variables too, but takes one that is set to nothing for set, ignores what it cannot use, and in a CGI
//! program all of them.

use reqwest::{NoProxy, Proxy};

use crate::{
    credential::{
        defect::{Defect, setting},
        request, variable,
    },
    platform::variables::{ALL_PROXY, HTTPS_PROXY, NO_PROXY},
};

/// The proxy for https addresses, if there is one.
///
/// # Errors
/// A variable does not name one that can be used.
pub fn named() -> Result<Option<Proxy>, Defect> {
    for name in [HTTPS_PROXY, ALL_PROXY].into_iter().flat_map(spellings) {
        if let Some(text) = setting(&name)? {
            let proxy = Proxy::https(request::proxy_url(&name, &text)?).map_err(|_| request::no_proxy_url(&name))?;
            let exempt = spellings(NO_PROXY).into_iter().find_map(|name| variable(&name));
            return Ok(Some(proxy.no_proxy(exempt.as_deref().and_then(NoProxy::from_string))));
        }
    }
    Ok(None)
}

/// A name, and the same in lower case, which is older.
fn spellings(name: &str) -> [String; 2] {
    [name.to_owned(), name.to_ascii_lowercase()]
}
