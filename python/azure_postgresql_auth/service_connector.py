"""Azure Service Connector: its environment variables, as the arguments that each driver takes.

    from azure_postgresql_auth import service_connector
    from azure_postgresql_auth.psycopg3 import EntraConnection

    connection = EntraConnection.connect(**service_connector.psycopg())

Service Connector links an app to a database and sets variables for the app to connect with. These functions read those
of its client types Python (`AZURE_POSTGRESQL_CONNECTIONSTRING`), Django (`_HOST`, `_NAME`, `_USER`) and none (`_HOST`,
`_PORT`, `_DATABASE`, `_USERNAME`, `_SSL`), and make the credential that the connection was created for:

- a service principal, of `_CLIENTID`, `_CLIENTSECRET` and `_TENANTID`;
- a user-assigned identity, of `_CLIENTID`: by workload identity in Kubernetes, else as managed identity;
- a password, of `_PASSWORD` or the connection string: none, it is a plain login;
- otherwise the system-assigned identity, or on a developer's machine whoever is signed in to `az` or `azd`.

The same variables give the same credential object, so they may be called for every connection. `sslmode=require`, which
Service Connector says of every connection, gives way to this package's own rule for tokens and Azure's servers,
`verify-full`.

All take `prefix`: the names of an app's second connection begin with `AZURE_POSTGRESQL_` and that connection's name.
A connection string that App Service keeps under "Connection strings", type PostgreSQL, is read from
`POSTGRESQLCONNSTR_AZURE_POSTGRESQL_CONNECTIONSTRING`. All raise `ValueError` where variables are missing, contradict
each other, are another client type's, or hold quotation marks, white space or an unresolved Key Vault reference.

Source: Microsoft's documentation, "Integrate Azure Database for PostgreSQL with Service Connector" and "Service
Connector internals".
"""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth._core import is_azure_server, value_defect
from azure_postgresql_auth._engine.connect import Options
from azure_postgresql_auth.identity import (
    AzureCliCredential,
    AzureDeveloperCliCredential,
    ChainedTokenCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

__all__ = ["asyncpg", "django", "psycopg", "sqlalchemy"]

_PREFIX: Final = "AZURE_POSTGRESQL"


def psycopg(*, prefix: str = _PREFIX) -> dict[str, Any]:
    """Keywords of `EntraConnection` and `AsyncEntraConnection`, for psycopg 3 and psycopg2.

    A psycopg pool has them as its `kwargs`, a SQLAlchemy engine as its `connect_args`.
    """
    return _read(prefix)


def asyncpg(*, prefix: str = _PREFIX) -> dict[str, Any]:
    """Keywords of `connect` and `create_pool` of `azure_postgresql_auth.asyncpg`."""
    names = {"dbname": "database", "sslmode": "ssl", "connect_timeout": "timeout"}
    same = {"host", "port", "user", "password", "credential"}
    said = _read(prefix)
    unknown = said.keys() - names.keys() - same
    if unknown:
        message = f"{prefix}_CONNECTIONSTRING says {', '.join(sorted(unknown))}, which asyncpg does not take"
        raise ValueError(message)
    if "connect_timeout" in said:
        said["connect_timeout"] = float(said["connect_timeout"])
    return {names.get(keyword, keyword): value for keyword, value in said.items()}


def sqlalchemy(drivername: str, *, prefix: str = _PREFIX) -> dict[str, Any]:
    """Keywords of `create_engine`, `create_async_engine` and `create_asyncpg_engine`: `url` and `connect_args`.

    Args:
        drivername: dialect and driver, such as "postgresql+psycopg".
        prefix: what the variables' names begin with.

    The engine still needs `enable_entra_authentication`, unless `create_asyncpg_engine` makes it.
    """
    from sqlalchemy.engine import URL  # noqa: PLC0415 - the others need none of it

    said = _read(prefix)
    credential = said.pop("credential", None)
    names = {"user": "username", "password": "password", "host": "host", "port": "port", "dbname": "database"}
    parts = {name: said.pop(keyword) for keyword, name in names.items() if keyword in said}
    url = URL.create(drivername, **parts, query=said)
    return {"url": url, "connect_args": {} if credential is None else {"credential": credential}}


def django(*, prefix: str = _PREFIX) -> dict[str, Any]:
    """A database of Django's `DATABASES` but for its `ENGINE`.

    `{"ENGINE": "azure_postgresql_auth.django", **service_connector.django()}`
    """
    said = _read(prefix)
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    database = {name: str(said.pop(keyword)) for keyword, name in names.items() if keyword in said}
    return {**database, "OPTIONS": said}


# By the end of a variable's name, libpq's keyword. Client types name the same thing differently.
_KEYWORDS: Final = {
    "HOST": "host",
    "PORT": "port",
    "DATABASE": "dbname",
    "NAME": "dbname",
    "USERNAME": "user",
    "USER": "user",
    "PASSWORD": "password",
    "SSL": "sslmode",
}
_SSL: Final = {"true": "require", "false": "disable"}


def _read(prefix: str) -> dict[str, Any]:
    """The keywords of libpq, and `credential` unless the login is a plain one."""
    said: dict[str, Any] = {}
    # The variable that said it.
    said_by: dict[str, str] = {}
    for variable, keyword, value in _said(prefix):
        if said.setdefault(keyword, value) != value:
            message = f"{said_by[keyword]} and {variable} contradict each other about {keyword}; remove one of them"
            raise ValueError(message)
        said_by.setdefault(keyword, variable)
    _check_complete(prefix, said_by)
    if "port" in said:
        if not said["port"].isdecimal():
            message = f"{said_by['port']} has port {said['port']!r}, which is no number"
            raise ValueError(message)
        said["port"] = int(said["port"])
    credential = _credential(prefix, said_by.get("password"))
    if credential is None:
        return said
    if said.get("sslmode") == "require" and is_azure_server(said["host"]):
        del said["sslmode"]
    return {**said, "credential": credential}


# Source: Microsoft's documentation, "Environment variables and app settings in Azure App Service", connection strings.
_APP_SERVICE: Final = "POSTGRESQLCONNSTR_"
_KEY_VAULT: Final = "@Microsoft.KeyVault("


def _value(variable: str) -> str:
    """A variable's value, "" if it is not set.

    Raises:
        ValueError: it holds what no value of its kind does.
    """
    value = os.environ.get(variable, "")
    # libpq skips the white space around a connection string; a password may have anything.
    examined = value.strip() if variable.endswith("_CONNECTIONSTRING") else value
    if variable.endswith("_PASSWORD") and not value.startswith(_KEY_VAULT):
        return value
    defect = value_defect(examined)
    if defect is not None:
        message = f"{variable} {defect}"
        raise ValueError(message)
    return value


def _said(prefix: str) -> Iterator[tuple[str, str, str]]:
    """Each setting as its variable, libpq's keyword and its value."""
    for variable in (f"{prefix}_CONNECTIONSTRING", f"{_APP_SERVICE}{prefix}_CONNECTIONSTRING"):
        for keyword, value in _parsed(variable, _value(variable)):
            yield variable, keyword, value
    for end, keyword in _KEYWORDS.items():
        variable = f"{prefix}_{end}"
        value = _value(variable)
        if value and end == "SSL":
            if value.lower() not in _SSL:
                message = f"{variable}={value!r}: one of {', '.join(_SSL)}"
                raise ValueError(message)
            value = _SSL[value.lower()]
        if value:
            yield variable, keyword, value


# Source: PostgreSQL's documentation, "Keyword/Value Connection Strings".
_PAIR: Final = re.compile(r"\s*([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?!')(?:[^\s\\]|\\.)*)(?=\s|$)", re.DOTALL)


def _parsed(variable: str, connection_string: str) -> Iterator[tuple[str, str]]:
    position, end = 0, len(connection_string.rstrip())
    while position < end:
        pair = _PAIR.match(connection_string, position)
        if pair is None or pair[1] in Options.__slots__:
            # Without the value, which may hold a password.
            message = (
                f"{variable} is not written in libpq's keywords and values, as 'host=... dbname=... user=...' is: the "
                f"connection was made for another client type. Make it for Python, Django or none"
            )
            raise ValueError(message)
        value = pair[2][1:-1] if pair[2].startswith("'") else pair[2]
        if value:
            yield pair[1], re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        position = pair.end()


def _credential(prefix: str, password: str | None) -> object | None:
    """The credential that the variables name, None if `password` names the variable that has one."""
    ends = ("TENANTID", "CLIENTID", "CLIENTSECRET")
    variables = {f"{prefix}_{end}": _value(f"{prefix}_{end}") or None for end in ends}
    given = [variable for variable, value in variables.items() if value]
    if password is not None:
        if given:
            message = f"{password} has a password, and {', '.join(given)} a credential; remove one or the other"
            raise ValueError(message)
        return None
    tenant_id, client_id, client_secret = variables.values()
    in_kubernetes = bool(os.environ.get("AZURE_FEDERATED_TOKEN_FILE"))
    if client_secret or (tenant_id and not (client_id and in_kubernetes)):
        missing = [variable for variable, value in variables.items() if not value]
        if missing:
            message = f"not set: {', '.join(missing)}, which a service principal needs besides {', '.join(given)}"
            raise ValueError(message)
    return _made(tenant_id, client_id, client_secret, in_kubernetes=in_kubernetes)


@functools.lru_cache(maxsize=16)
def _made(tenant_id: str | None, client_id: str | None, client_secret: str | None, *, in_kubernetes: bool) -> object:
    """The credential, and the same one each time, for its tokens are kept with it."""
    if tenant_id and client_id and client_secret:
        return ClientSecretCredential(tenant_id, client_id, client_secret)
    if client_id and in_kubernetes:
        return WorkloadIdentityCredential(tenant_id=tenant_id, client_id=client_id)
    if client_id:
        return ManagedIdentityCredential(client_id=client_id)
    return ChainedTokenCredential(ManagedIdentityCredential(), AzureCliCredential(), AzureDeveloperCliCredential())


def _check_complete(prefix: str, said_by: dict[str, str]) -> None:
    """Whether all is there that a connection needs."""
    if not said_by:
        message = f"no connection of Service Connector's: neither {prefix}_CONNECTIONSTRING nor {prefix}_HOST is set"
        others = {
            name.rpartition("_")[0]
            for name in (variable.removeprefix(_APP_SERVICE) for variable in os.environ)
            if name.startswith(f"{_PREFIX}_") and name.endswith(("_CONNECTIONSTRING", "_HOST"))
        }
        if others:
            message += f"; there is one with prefix={' and '.join(map(repr, sorted(others)))}"
        raise ValueError(message)
    needed = {"host": "HOST", "dbname": "NAME (or _DATABASE)"}
    if "password" in said_by:
        needed["user"] = "USER (or _USERNAME)"
    for keyword, variable in needed.items():
        if keyword not in said_by:
            message = f"{prefix}_{variable} is not set, only {', '.join(sorted(set(said_by.values())))}"
            raise ValueError(message)
