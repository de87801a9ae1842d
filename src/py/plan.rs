//! The connection plan, for Python.

use pyo3::{
    exceptions::PyValueError,
    intern,
    prelude::*,
    types::{PyDict, PyInt, PyList, PyString, PyTuple},
};

use super::{errors, login::Login};
use crate::{
    connection::{
        self, Given,
        asyncpg::HostSources,
        params::{Param, Params, ProcessEnvironment},
        tls::Roots,
    },
    error::Error,
};

/// A database driver: what it reads, and in which keywords it takes the plan's decisions.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct Driver {
    driver: connection::Driver,
    azure_roots: Py<PyString>,
}

#[pymethods]
impl Driver {
    #[new]
    #[pyo3(signature = (name, azure_roots, /, libpq_version=0))]
    fn new(name: &str, azure_roots: Py<PyString>, libpq_version: u32) -> PyResult<Self> {
        let driver = match name {
            "libpq" => connection::Driver::Libpq(libpq_version),
            "asyncpg" => connection::Driver::Asyncpg,
            "pg8000" => connection::Driver::Pg8000,
            _ => return Err(PyValueError::new_err(format!("{name:?}: expected libpq, asyncpg or pg8000"))),
        };
        Ok(Self { driver, azure_roots })
    }

    /// Decide about one connection.
    #[pyo3(signature = (keywords, url=None, service=None, scope=None, allow_insecure_transport=false, is_opaque=false))]
    #[allow(clippy::too_many_arguments, reason = "one call, because each costs as much as the decision")]
    fn plan<'py>(
        &self,
        keywords: &Bound<'py, PyDict>,
        url: Option<&Bound<'py, PyDict>>,
        service: Option<&Bound<'py, PyDict>>,
        scope: Option<Py<PyString>>,
        allow_insecure_transport: bool,
        is_opaque: bool,
    ) -> PyResult<ConnectionPlan> {
        let py = keywords.py();
        let is_asyncpg = self.driver == connection::Driver::Asyncpg;
        let mut given = Given {
            service: service.map(section).transpose()?,
            is_opaque,
            allow_insecure: allow_insecure_transport,
            ..Given::default()
        };
        if is_asyncpg {
            given.host_sources = host_sources(keywords, url, service)?;
        }
        given.arguments = given_params(keywords, url)?;
        if matches!(self.driver, connection::Driver::Asyncpg | connection::Driver::Pg8000)
            && let Some(timeout) = keywords.get_item(intern!(py, "timeout"))?.filter(|timeout| !timeout.is_none())
        {
            given.arguments.set(Param::ConnectTimeout, text(&timeout)?);
        }
        let password = item(keywords, url, intern!(py, "password"))?.filter(|value| value.is_truthy().unwrap_or(true));
        given.has_password = password.is_some();
        let plan = connection::ConnectionPlan::new(self.driver, given, &ProcessEnvironment)
            .map_err(|error| errors::raise(py, &error))?;
        if matches!(self.driver, connection::Driver::Libpq(_)) && !plan.has_credentials {
            refuse_misread(keywords)?;
        }
        let scope = match scope {
            Some(scope) => scope,
            None if plan.has_credentials => intern!(py, "").clone().unbind(),
            None => PyString::intern(py, plan.scope().map_err(|error| errors::raise(py, &error))?).unbind(),
        };
        Ok(ConnectionPlan {
            user: plan.param(Param::User).map(|user| PyString::new(py, user).unbind()),
            password: password.map(Bound::unbind),
            scope,
            settings: self.settings(py, &plan)?.unbind(),
            keywords: keywords.clone().unbind(),
            azure_roots: self.azure_roots.clone_ref(py),
            driver: self.driver,
            plan,
        })
    }
}

impl Driver {
    /// What a plan decides, in the driver's keywords.
    fn settings<'py>(&self, py: Python<'py>, plan: &connection::ConnectionPlan) -> PyResult<Bound<'py, PyDict>> {
        let settings = PyDict::new(py);
        match self.driver {
            connection::Driver::Libpq(_) => {
                let decided = plan.libpq_settings();
                for param in Param::ALL {
                    if let Some(value) = decided.get(param) {
                        settings.set_item(keyword(py, param), value)?;
                    }
                }
                if plan.tls.as_ref().is_some_and(|tls| tls.roots == Some(Roots::Azure)) {
                    settings.set_item(intern!(py, "sslrootcert"), &self.azure_roots)?;
                }
            }
            connection::Driver::Asyncpg => {
                if let Some(target) = plan.target.as_ref().filter(|target| target.is_named() && !plan.has_credentials) {
                    settings.set_item(intern!(py, "host"), &target.hosts)?;
                    let ports: PyResult<Vec<u16>> = target.ports.iter().map(|port| port_number(py, port)).collect();
                    settings.set_item(intern!(py, "port"), ports?)?;
                }
            }
            connection::Driver::Pg8000 => {}
        }
        if let Some(user) = plan.param(Param::User) {
            settings.set_item(intern!(py, "user"), user)?;
        }
        Ok(settings)
    }
}

/// The decisions about one connection, and everything that the driver is given.
#[pyclass(frozen, module = "azure_postgresql_auth._core")]
pub struct ConnectionPlan {
    /// The caller's; None if the token names the user.
    #[pyo3(get)]
    user: Option<Py<PyString>>,
    #[pyo3(get)]
    password: Option<Py<PyAny>>,
    #[pyo3(get)]
    scope: Py<PyString>,
    /// The driver's keywords besides the caller's and the login's.
    #[pyo3(get)]
    settings: Py<PyDict>,
    keywords: Py<PyDict>,
    azure_roots: Py<PyString>,
    driver: connection::Driver,
    plan: connection::ConnectionPlan,
}

#[pymethods]
impl ConnectionPlan {
    #[getter]
    fn has_credentials(&self) -> bool {
        self.plan.has_credentials
    }

    #[getter]
    fn user_known(&self) -> bool {
        self.user.is_some()
    }

    #[getter]
    fn timeout(&self) -> Option<f64> {
        self.plan.timeout()
    }

    #[getter]
    fn has_unresolved_service(&self) -> bool {
        self.plan.has_unresolved_service
    }

    /// `sslmode`, and the roots: a file, "system", or None for the driver's own.
    #[getter]
    fn tls<'py>(&self, py: Python<'py>) -> Option<(&str, Option<Bound<'py, PyString>>)> {
        let tls = self.plan.tls.as_ref()?;
        let roots = tls.roots.as_ref().map(|roots| match roots {
            Roots::Azure => self.azure_roots.bind(py).clone(),
            Roots::System => intern!(py, "system").clone(),
            Roots::File(file) => PyString::new(py, file),
        });
        Some((&tls.sslmode, roots))
    }

    /// Hosts, addresses and ports; None if they cannot be determined.
    #[getter]
    fn target<'py>(&self, py: Python<'py>) -> PyResult<Option<[Bound<'py, PyTuple>; 3]>> {
        let Some(target) = &self.plan.target else { return Ok(None) };
        let lists = [&target.hosts, &target.addresses, &target.ports];
        let [hosts, addresses, ports] = lists.map(|list| PyTuple::new(py, list));
        Ok(Some([hosts?, addresses?, ports?]))
    }

    /// Return the keywords, with the effective value of every libpq parameter that the plan knows.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let found = self.keywords.bind(py).copy()?;
        for param in Param::ALL {
            if let Some(value) = self.plan.param(param) {
                found.set_item(keyword(py, param), value)?;
            }
        }
        if let Some(password) = &self.password {
            found.set_item(intern!(py, "password"), password)?;
        }
        Ok(found)
    }

    /// Return the driver's keywords for one attempt to connect, limited to `seconds`.
    #[pyo3(signature = (login=None, seconds=None))]
    fn arguments<'py>(
        &self,
        py: Python<'py>,
        login: Option<&Login>,
        seconds: Option<f64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let arguments = self.keywords.bind(py).copy()?;
        arguments.update(self.settings.bind(py).as_mapping())?;
        if let Some(login) = login {
            login.add_to(&arguments)?;
        }
        if let Some(seconds) = seconds {
            match self.driver {
                // libpq takes whole seconds.
                connection::Driver::Libpq(_) => {
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
                    let whole = seconds.round().max(1.0) as u32;
                    arguments.set_item(intern!(py, "connect_timeout"), whole)?;
                }
                _ => arguments.set_item(intern!(py, "timeout"), seconds)?,
            }
        }
        Ok(arguments)
    }
}

fn port_number(py: Python<'_>, port: &str) -> PyResult<u16> {
    port.parse().map_err(|_| {
        let message = format!("port={port:?} is not a port number; pass an integer of at most {}", u16::MAX);
        errors::raise(py, &Error::InvalidArgument(message))
    })
}

/// A parameter's keyword as a Python string.
fn keyword(py: Python<'_>, param: Param) -> &Bound<'_, PyString> {
    match param {
        Param::User => intern!(py, "user"),
        Param::Password => intern!(py, "password"),
        Param::Host => intern!(py, "host"),
        Param::HostAddr => intern!(py, "hostaddr"),
        Param::Port => intern!(py, "port"),
        Param::DbName => intern!(py, "dbname"),
        Param::Service => intern!(py, "service"),
        Param::ServiceFile => intern!(py, "servicefile"),
        Param::SslMode => intern!(py, "sslmode"),
        Param::SslRootCert => intern!(py, "sslrootcert"),
        Param::GssEncMode => intern!(py, "gssencmode"),
        Param::ConnectTimeout => intern!(py, "connect_timeout"),
    }
}

/// The parameters of the keywords, and those of a connection string that they do not override.
fn given_params<'py>(keywords: &Bound<'py, PyDict>, url: Option<&Bound<'py, PyDict>>) -> PyResult<Params> {
    let mut params = Params::default();
    for param in Param::ALL {
        // A password may be a function; only its presence matters here.
        if param != Param::Password
            && let Some(value) = item(keywords, url, keyword(keywords.py(), param))?
        {
            params.set(param, listed(&value)?.join(","));
        }
    }
    Ok(params)
}

/// A section of a service file, whose password is a string.
fn section(section: &Bound<'_, PyDict>) -> PyResult<Params> {
    let mut params = given_params(section, None)?;
    if let Some(password) = section.get_item(intern!(section.py(), "password"))? {
        params.set(Param::Password, text(&password)?);
    }
    Ok(params)
}

fn host_sources<'py>(
    keywords: &Bound<'py, PyDict>,
    url: Option<&Bound<'py, PyDict>>,
    service: Option<&Bound<'py, PyDict>>,
) -> PyResult<HostSources> {
    let py = keywords.py();
    let list = |keyword| match keywords.get_item(keyword)?.filter(|value| value.is_truthy().unwrap_or(false)) {
        Some(value) => listed(&value),
        None => Ok(Vec::new()),
    };
    let in_url = |name: &Bound<'py, PyString>| match url {
        Some(url) => url.get_item(name)?.map(|value| text(&value)).transpose(),
        None => Ok(None),
    };
    let in_service = |name: &Bound<'py, PyString>| match service {
        Some(section) => section.get_item(name)?.map(|value| text(&value)).transpose(),
        None => Ok(None),
    };
    let (host, port) = (intern!(py, "host"), intern!(py, "port"));
    Ok(HostSources {
        hosts: list(host)?,
        ports: list(port)?,
        authority: in_url(intern!(py, "authority"))?,
        listed: [(in_url(host)?, in_url(port)?), (in_service(host)?, in_service(port)?)],
    })
}

/// Refuse keywords with which libpq would not read what the plan decides: drivers make one connection string of all of them.
///
/// Source: `conninfo_storeval` and `conninfo_parse` in PostgreSQL's `fe-connect.c`. The last value of a parameter counts there.
fn refuse_misread(keywords: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = keywords.py();
    let refused = |message: String| Err(errors::raise(py, &Error::InvalidArgument(message)));
    for (name, value) in keywords {
        let name = text(&name)?;
        // Not quoted: it may be a connection string with a password.
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return refused(
                "the name of a connection parameter has characters that no parameter's name has".to_owned(),
            );
        }
        if value.is_none() {
            continue;
        }
        if name == "requiressl" {
            return refused("libpq reads requiressl as another sslmode; remove it, and use sslmode instead".to_owned());
        }
        let is_said = !value.is_callable() && !value.is_instance_of::<PyInt>();
        if is_said && value.str().is_ok_and(|value| value.to_cow().is_ok_and(|value| value.contains('\0'))) {
            return refused(format!("{name} has a zero character, at which libpq stops reading; remove it"));
        }
    }
    Ok(())
}

/// The value of a keyword; if it is None, that of the connection string.
fn item<'py>(
    keywords: &Bound<'py, PyDict>,
    url: Option<&Bound<'py, PyDict>>,
    keyword: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let found = keywords.get_item(keyword)?.filter(|value| !value.is_none());
    match (found, url) {
        (None, Some(url)) => Ok(url.get_item(keyword)?.filter(|value| !value.is_none())),
        (found, _) => Ok(found),
    }
}

fn text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    // Err: a lone surrogate, which no driver could send.
    Ok(value.str()?.to_cow()?.into_owned())
}

/// One value, or the items of a list or tuple.
fn listed(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return value.try_iter()?.map(|item| text(&item?)).collect();
    }
    Ok(vec![text(value)?])
}
