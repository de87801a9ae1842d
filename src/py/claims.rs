//! Claims, user names and scopes, for Python.

use std::fmt;

use pyo3::{
    IntoPyObjectExt,
    prelude::*,
    pybacked::PyBackedStr,
    types::{PyDict, PyList, PyString},
};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::errors;
use crate::{
    connection::cloud,
    error::Error,
    login::{
        claims::{self, Claims},
        principal,
    },
};

/// Return the claims of a JWT, unverified.
#[pyfunction]
pub fn decode_jwt<'py>(py: Python<'py>, token: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let malformed = |reason: String| errors::raise(py, &Error::MalformedToken(reason));
    let token = token
        .cast::<PyString>()
        .map_err(|_| malformed(format!("expected str, found {}", token.get_type())))?
        .to_cow()
        .map_err(|_| malformed("it holds lone surrogates, which are not text".to_owned()))?;
    let claims = claims::payload(&token).and_then(|payload| claims::object(&payload, Object(py)));
    claims.map_err(|error| errors::raise(py, &error))
}

/// Builds a Python dictionary directly from a JSON object, and refuses other JSON.
struct Object<'py>(Python<'py>);

impl<'json, 'py> DeserializeSeed<'json> for Object<'py> {
    type Value = Bound<'py, PyDict>;

    fn deserialize<D: Deserializer<'json>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'json, 'py> Visitor<'json> for Object<'py> {
    type Value = Bound<'py, PyDict>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'json>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.0);
        while let Some(name) = map.next_key_seed(Any(self.0))? {
            dict.set_item(name, map.next_value_seed(Any(self.0))?).map_err(A::Error::custom)?;
        }
        Ok(dict)
    }
}

/// Builds a Python value from any JSON.
#[derive(Clone, Copy)]
struct Any<'py>(Python<'py>);

impl<'py> Any<'py> {
    fn made<E: serde::de::Error>(self, value: impl IntoPyObjectExt<'py>) -> Result<Bound<'py, PyAny>, E> {
        value.into_bound_py_any(self.0).map_err(E::custom)
    }
}

impl<'json, 'py> DeserializeSeed<'json> for Any<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'json>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'json, 'py> Visitor<'json> for Any<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.0.None().into_bound(self.0))
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<Self::Value, E> {
        self.made(flag)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.made(number)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.made(number)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        self.made(number)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.made(text)
    }

    fn visit_seq<A: SeqAccess<'json>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.0);
        while let Some(item) = items.next_element_seed(self)? {
            list.append(item).map_err(A::Error::custom)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'json>>(self, map: A) -> Result<Self::Value, A::Error> {
        Object(self.0).visit_map(map).map(Bound::into_any)
    }
}

/// Return the name of the user-assigned managed identity in an `xms_mirid` claim.
#[pyfunction]
#[pyo3(signature = (xms_mirid))]
pub fn parse_principal_name(xms_mirid: Option<&str>) -> Option<&str> {
    xms_mirid.and_then(principal::user_assigned_identity)
}

/// Return the claim that names a token's user, and the user; `None` if no claim does.
#[pyfunction]
pub fn principal_of(py: Python<'_>, token: &str) -> PyResult<Option<(&'static str, String)>> {
    let claims = Claims::of_token(token).map_err(|error| errors::raise(py, &error))?;
    Ok(principal::principal(&claims).map(|(claim, name)| (claim, name.to_owned())))
}

/// Return the home account that a guest's token names instead of the role, and the form of the role's name.
#[pyfunction]
pub fn guest_of(py: Python<'_>, token: &str) -> PyResult<Option<(String, String)>> {
    let claims = Claims::of_token(token).map_err(|error| errors::raise(py, &error))?;
    Ok(principal::guest_account(&claims).map(|account| (account.to_owned(), principal::guest_role(account))))
}

/// Return whether a host has the name of an Azure Database for PostgreSQL, in any cloud.
#[pyfunction]
pub fn is_azure_server(host: &str) -> bool {
    cloud::is_azure_server(host)
}

/// Return whether tokens of this scope are for Azure Database for PostgreSQL, and for nothing else.
#[pyfunction]
pub fn is_database_scope(scope: &str) -> bool {
    cloud::is_database_scope(scope)
}

/// Return the scope of the tokens that these servers accept.
#[pyfunction]
pub fn scope_for(py: Python<'_>, hosts: &Bound<'_, PyAny>) -> PyResult<&'static str> {
    let hosts: Vec<PyBackedStr> = hosts.extract()?;
    cloud::scope_of_servers(hosts.iter().map(|host| &**host)).map_err(|error| errors::raise(py, &error))
}
