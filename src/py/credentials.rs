//! The native credentials; `azure_postgresql_auth.identity` documents and names them for users.

use std::{sync::Arc, time::Duration};

use pyo3::{exceptions::PyValueError, prelude::*};

use super::{
    fetch::Fetch,
    provider::{TokenProvider, checked, duration},
};
use crate::{
    credential::{
        self, Authority, AzureCliCredential, AzureDeveloperCliCredential, AzurePipelinesCredential,
        AzurePowerShellCredential, CertificateSource, ChainedTokenCredential, ClientAssertionCredential,
        ClientCertificateCredential, ClientSecretCredential, DefaultChain, EnvironmentCredential, FallbackChain,
        ManagedIdentityCredential, Proxy, Selection, SigningCertificate, TokenSource, UserAssigned,
        WorkloadIdentityCredential, check_value, configured, in_tenant, start, with_claims,
    },
    error::Error,
    platform::secret::Secret,
};

/// What is given: azure-identity takes an empty text for none.
fn given<T: AsRef<[u8]>>(value: Option<T>) -> Option<T> {
    value.filter(|value| !value.as_ref().is_empty())
}

/// The same, and nothing odd about it.
fn optional(py: Python<'_>, name: &str, text: Option<String>) -> PyResult<Option<String>> {
    let text = given(text);
    if let Some(text) = &text {
        checked(py, check_value(name, text).map_err(|defect| Error::InvalidArgument(defect.to_string())))?;
    }
    Ok(text)
}

fn authority(py: Python<'_>, text: Option<&str>) -> PyResult<Option<Authority>> {
    checked(py, given(text).map(Authority::parse).transpose())
}

fn process_timeout(seconds: Option<f64>) -> PyResult<Duration> {
    seconds.map_or(Ok(crate::credential::PROCESS_TIMEOUT), duration)
}

/// Tenant ids end up in a URL, and on `az`'s command line.
fn tenant(py: Python<'_>, name: &str, text: String) -> PyResult<String> {
    let text = optional(py, name, Some(text))?.unwrap_or_default();
    if !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-')) {
        return Ok(text);
    }
    checked(
        py,
        Err(Error::InvalidArgument(format!(
            "{name}={text:?}: expected a directory (tenant) id such as 11111111-2222-3333-4444-555555555555, or a domain"
        ))),
    )
}

fn optional_tenant(py: Python<'_>, name: &str, text: Option<String>) -> PyResult<Option<String>> {
    given(text).map(|text| tenant(py, name, text)).transpose()
}

/// What is odd about a value that is written without white space and quotation marks, to follow its name.
#[pyfunction]
pub fn value_defect(value: &str) -> Option<String> {
    crate::credential::value_defect(value).map(|(what, remedy)| format!("{what}; {remedy}"))
}

/// Azure's names of subscriptions; `az` would take others for options or more.
fn subscription(py: Python<'_>, text: Option<String>) -> PyResult<Option<String>> {
    let valid =
        |text: &str| text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | ' '));
    match text {
        Some(text) if !valid(&text) => checked(
            py,
            Err(Error::InvalidArgument(format!(
                "subscription={text:?}: expected letters, digits, '_', '-', '.' and spaces; if its name has others, give its id"
            ))),
        ),
        other => Ok(other.filter(|text| !text.is_empty())),
    }
}

fn required(py: Python<'_>, name: &str, text: String) -> PyResult<String> {
    match optional(py, name, Some(text))? {
        Some(text) => Ok(text),
        None => checked(py, Err(Error::InvalidArgument(format!("{name} is required and must not be empty")))),
    }
}

#[pymethods]
impl TokenProvider {
    #[staticmethod]
    #[pyo3(signature = (*, authority=None))]
    fn environment(py: Python<'_>, authority: Option<&str>) -> PyResult<Self> {
        Ok(Self::native(EnvironmentCredential { tenant_id: None, authority: self::authority(py, authority)? }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, client_id=None, object_id=None, resource_id=None))]
    fn managed_identity(
        py: Python<'_>,
        client_id: Option<String>,
        object_id: Option<String>,
        resource_id: Option<String>,
    ) -> PyResult<Self> {
        let named = [
            optional(py, "client_id", client_id)?.map(UserAssigned::ClientId),
            optional(py, "object_id", object_id)?.map(UserAssigned::ObjectId),
            optional(py, "resource_id", resource_id)?.map(UserAssigned::ResourceId),
        ];
        let mut named = named.into_iter().flatten();
        let identity = named.next();
        if named.next().is_some() {
            return checked(
                py,
                Err(Error::InvalidArgument(
                    "a managed identity is named once: give one of client_id, object_id and resource_id".to_owned(),
                )),
            );
        }
        Ok(Self::native(ManagedIdentityCredential::new(identity)))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, client_id=None, token_file_path=None, authority=None))]
    fn workload_identity(
        py: Python<'_>,
        tenant_id: Option<String>,
        client_id: Option<String>,
        token_file_path: Option<String>,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        Ok(Self::native(WorkloadIdentityCredential {
            tenant_id: optional_tenant(py, "tenant_id", tenant_id)?,
            client_id: optional(py, "client_id", client_id)?,
            token_file_path: given(token_file_path),
            authority: self::authority(py, authority)?,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (tenant_id, client_id, client_secret, *, authority=None))]
    fn client_secret(
        py: Python<'_>,
        tenant_id: String,
        client_id: String,
        client_secret: String,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        Ok(Self::native(ClientSecretCredential {
            tenant_id: tenant(py, "tenant_id", tenant_id)?,
            client_id: required(py, "client_id", client_id)?,
            client_secret: Secret::from(required(py, "client_secret", client_secret)?),
            authority: self::authority(py, authority)?,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, subscription=None, process_timeout=None))]
    fn azure_cli(
        py: Python<'_>,
        tenant_id: Option<String>,
        subscription: Option<String>,
        process_timeout: Option<f64>,
    ) -> PyResult<Self> {
        let process_timeout = self::process_timeout(process_timeout)?;
        Ok(Self::native(AzureCliCredential {
            tenant_id: optional_tenant(py, "tenant_id", tenant_id)?,
            subscription: self::subscription(py, subscription)?,
            process_timeout,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, process_timeout=None))]
    fn azure_developer_cli(py: Python<'_>, tenant_id: Option<String>, process_timeout: Option<f64>) -> PyResult<Self> {
        let process_timeout = self::process_timeout(process_timeout)?;
        Ok(Self::native(AzureDeveloperCliCredential {
            tenant_id: optional_tenant(py, "tenant_id", tenant_id)?,
            process_timeout,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id=None, process_timeout=None))]
    fn azure_powershell(py: Python<'_>, tenant_id: Option<String>, process_timeout: Option<f64>) -> PyResult<Self> {
        let process_timeout = self::process_timeout(process_timeout)?;
        Ok(Self::native(AzurePowerShellCredential {
            tenant_id: optional_tenant(py, "tenant_id", tenant_id)?,
            process_timeout,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (tenant_id, client_id, *, path=None, data=None, password=None, send_certificate_chain=false, authority=None))]
    #[allow(clippy::too_many_arguments, reason = "azure-identity's keywords")]
    fn client_certificate(
        py: Python<'_>,
        tenant_id: String,
        client_id: String,
        path: Option<String>,
        data: Option<&[u8]>,
        password: Option<String>,
        send_certificate_chain: bool,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        let password = given(password).map(Secret::from);
        let wrong = |name: &str, why: String| Error::InvalidArgument(format!("{name}{why}"));
        let certificate = match (given(path), data) {
            (Some(path), None) => {
                let source = CertificateSource::File(path.into(), password);
                checked(py, source.read().map_err(|why| wrong("certificate_path=", why)))?;
                source
            }
            (None, Some(data)) => {
                let read = SigningCertificate::read(data, password.as_ref());
                let read = read.map_err(|why| wrong("certificate_data: ", why));
                CertificateSource::Given(Arc::new(checked(py, read)?))
            }
            _ => {
                let why = "give either certificate_path or certificate_data".to_owned();
                return checked(py, Err(Error::InvalidArgument(why)));
            }
        };
        Ok(Self::native(ClientCertificateCredential {
            tenant_id: tenant(py, "tenant_id", tenant_id)?,
            client_id: required(py, "client_id", client_id)?,
            certificate,
            send_certificate_chain,
            authority: self::authority(py, authority)?,
        }))
    }

    /// Checks what an application is known by; Python asks it for its assertions, see `Fetch.exchange`.
    #[staticmethod]
    #[pyo3(signature = (tenant_id, client_id, *, authority=None))]
    fn client_assertion(
        py: Python<'_>,
        tenant_id: String,
        client_id: String,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        tenant(py, "tenant_id", tenant_id)?;
        required(py, "client_id", client_id)?;
        self::authority(py, authority)?;
        Ok(Self::python("ClientAssertionCredential"))
    }

    #[staticmethod]
    #[pyo3(signature = (*, tenant_id, client_id, service_connection_id, system_access_token, authority=None))]
    fn azure_pipelines(
        py: Python<'_>,
        tenant_id: String,
        client_id: String,
        service_connection_id: String,
        system_access_token: String,
        authority: Option<&str>,
    ) -> PyResult<Self> {
        Ok(Self::native(AzurePipelinesCredential {
            tenant_id: tenant(py, "tenant_id", tenant_id)?,
            client_id: required(py, "client_id", client_id)?,
            service_connection_id: required(py, "service_connection_id", service_connection_id)?,
            system_access_token: required(py, "system_access_token", system_access_token)?.into(),
            authority: self::authority(py, authority)?,
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (
        *, excluded, managed_identity_client_id=None, system_assigned=false, workload_identity_client_id=None,
        workload_identity_tenant_id=None, authority=None, process_timeout=None
    ))]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 extracts a Vec")]
    #[allow(clippy::too_many_arguments, reason = "azure-identity's keywords")]
    fn default_chain(
        py: Python<'_>,
        excluded: Vec<(String, bool)>,
        managed_identity_client_id: Option<String>,
        system_assigned: bool,
        workload_identity_client_id: Option<String>,
        workload_identity_tenant_id: Option<String>,
        authority: Option<&str>,
        process_timeout: Option<f64>,
    ) -> PyResult<(Self, Vec<&'static str>)> {
        let variable = std::env::var_os(Selection::VARIABLE);
        let variable = variable.as_ref().map(|value| value.to_string_lossy());
        let selection = checked(py, Selection::new(variable.as_deref(), &excluded))?;
        let named = optional(py, "managed_identity_client_id", managed_identity_client_id)?;
        let chain = DefaultChain {
            managed_identity_client_id: if system_assigned { Some(None) } else { named.map(Some) },
            workload_identity_client_id: optional(py, "workload_identity_client_id", workload_identity_client_id)?,
            workload_identity_tenant_id: optional_tenant(
                py,
                "workload_identity_tenant_id",
                workload_identity_tenant_id,
            )?,
            authority: self::authority(py, authority)?,
            process_timeout: Some(self::process_timeout(process_timeout)?),
        };
        let python_only = selection.python_only();
        let native = chain.build(&selection);
        let provider =
            if python_only.is_empty() { Self::native(native) } else { Self::with_fallback(FallbackChain::new(native)) };
        Ok((provider, python_only))
    }

    #[staticmethod]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 extracts a Vec")]
    fn chain(links: Vec<PyRef<'_, Self>>) -> PyResult<Self> {
        let sources: Option<Vec<Arc<_>>> = links.iter().map(|link| link.source()).collect();
        let sources = sources.ok_or_else(|| PyValueError::new_err("a native chain holds native credentials only"))?;
        Ok(Self::native(ChainedTokenCredential::new(sources)))
    }
}

/// What a caller wants of a credential's requests beyond its identity.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
#[derive(Default)]
pub struct ClientOptions(Arc<credential::ClientOptions>);

#[pymethods]
impl ClientOptions {
    #[new]
    #[pyo3(signature = (
        *, proxy=None, no_proxy=false, ca_bundle=None, connect_timeout=None, read_timeout=None, additional_tenants=Vec::new()
    ))]
    fn new(
        py: Python<'_>,
        proxy: Option<&str>,
        no_proxy: bool,
        ca_bundle: Option<String>,
        connect_timeout: Option<f64>,
        read_timeout: Option<f64>,
        additional_tenants: Vec<String>,
    ) -> PyResult<Self> {
        let additional_tenants = additional_tenants.into_iter().map(|tenant_id| match &*tenant_id {
            "*" => Ok(tenant_id),
            _ => tenant(py, "additionally_allowed_tenants", tenant_id),
        });
        Ok(Self(Arc::new(credential::ClientOptions {
            proxy: if no_proxy { Some(Proxy::Direct) } else { checked(py, proxy.map(Proxy::parse).transpose())? },
            ca_bundle,
            connect_timeout: connect_timeout.map(duration).transpose()?,
            read_timeout: read_timeout.map(duration).transpose()?,
            additional_tenants: additional_tenants.collect::<PyResult<_>>()?,
        })))
    }
}

/// A credential for one tenant and claims.
fn narrowed(source: Arc<dyn TokenSource>, tenant_id: Option<&str>, claims: Option<&str>) -> Arc<dyn TokenSource> {
    let source = match tenant_id {
        Some(tenant_id) => in_tenant(source, tenant_id, false),
        None => source,
    };
    match claims {
        Some(claims) => with_claims(source, claims),
        None => source,
    }
}

#[pymethods]
impl TokenProvider {
    /// The same credential with options.
    fn configured(&self, options: &ClientOptions) -> Self {
        self.map(|source| configured(source, Arc::clone(&options.0)))
    }

    /// The same credential for tokens of one tenant, or that satisfy claims; with a cache of its own.
    #[pyo3(signature = (*, tenant_id=None, claims=None))]
    fn narrowed(&self, py: Python<'_>, tenant_id: Option<String>, claims: Option<&str>) -> PyResult<Self> {
        let tenant_id = optional_tenant(py, "tenant_id", tenant_id)?;
        Ok(self.map(|source| self::narrowed(source, tenant_id.as_deref(), claims)))
    }
}

#[pymethods]
impl Fetch {
    /// Has the engine exchange an assertion that Python has made for this fetch.
    #[pyo3(signature = (tenant_id, client_id, assertion, *, authority=None, options=None, other_tenant_id=None, claims=None))]
    #[allow(clippy::too_many_arguments, reason = "all that a request depends on")]
    fn exchange(
        &self,
        py: Python<'_>,
        tenant_id: String,
        client_id: String,
        assertion: String,
        authority: Option<&str>,
        options: Option<&ClientOptions>,
        other_tenant_id: Option<&str>,
        claims: Option<&str>,
    ) -> PyResult<()> {
        let authority = self::authority(py, authority)?;
        if let Some(fetch) = self.take() {
            let assertion = assertion.into();
            let source = Arc::new(ClientAssertionCredential { tenant_id, client_id, assertion, authority });
            let options = options.map(|options| Arc::clone(&options.0)).unwrap_or_default();
            start(fetch, narrowed(configured(source, options), other_tenant_id, claims));
        }
        Ok(())
    }
}
