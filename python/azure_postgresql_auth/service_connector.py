"""Azure Service Connector: its environment variables, as the arguments that each driver takes.

    from azure_postgresql_auth import service_connector
    from azure_postgresql_auth.psycopg3 import EntraConnection

    connection = EntraConnection.connect(**service_connector.psycopg())

Service Connector links an app to a database and sets environment variables for the app to connect with. These functions
read the variables of its client types Python (`AZURE_POSTGRESQL_CONNECTIONSTRING`), Django (`_HOST`, `_NAME`, `_USER`)
and none (`_HOST`, `_PORT`, `_DATABASE`, `_USERNAME`, `_SSL`), and create the matching credential:

- `_CLIENTID`, `_CLIENTSECRET` and `_TENANTID`: a service principal.
- `_CLIENTID` alone: a user-assigned identity, by workload identity in Kubernetes and as a managed identity elsewhere.
- `_PASSWORD`, or a password in the connection string: no credential; the connection logs in with the password.
- None of them: the system-assigned identity or, on a developer's machine, the account signed in to `az` or `azd`.

The same variables give the same credential object, so the functions can be called for every connection. Service
Connector sets `sslmode=require` for every connection; for tokens sent to Azure's servers this package uses
`verify-full` instead.

All functions take `prefix`: the variables of an app's second connection begin with `AZURE_POSTGRESQL_` and the name of
that connection. A connection string that App Service keeps under "Connection strings", type PostgreSQL, is read from
`POSTGRESQLCONNSTR_AZURE_POSTGRESQL_CONNECTIONSTRING`. All functions raise `ValueError` if variables are missing,
contradict each other, belong to another client type, or contain quotation marks, white space or an unresolved Key Vault
reference.

Source: Microsoft's documentation, "Integrate Azure Database for PostgreSQL with Service Connector" and "Service
Connector internals".
"""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth import _conninfo
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
    """Return the keyword arguments for `EntraConnection` and `AsyncEntraConnection` of psycopg 3 and psycopg2.

    They can also be the `kwargs` of a psycopg pool or the `connect_args` of a SQLAlchemy engine.
    """
    return _read(prefix)


def asyncpg(*, prefix: str = _PREFIX) -> dict[str, Any]:
    """Return the keyword arguments for `connect` and `create_pool` of `azure_postgresql_auth.asyncpg`."""
    names = {"dbname": "database", "sslmode": "ssl", "connect_timeout": "timeout"}
    same = {"host", "port", "user", "password", "credential"}
    settings = _read(prefix)
    unknown = settings.keys() - names.keys() - same
    if unknown:
        message = f"{prefix}_CONNECTIONSTRING has {', '.join(sorted(unknown))}, which asyncpg does not accept"
        raise ValueError(message)
    if "connect_timeout" in settings:
        settings["connect_timeout"] = float(settings["connect_timeout"])
    return {names.get(keyword, keyword): value for keyword, value in settings.items()}


def sqlalchemy(drivername: str, *, prefix: str = _PREFIX) -> dict[str, Any]:
    """Return the `url` and `connect_args` for `create_engine`, `create_async_engine` and `create_asyncpg_engine`.

    The engine still needs `enable_entra_authentication`, unless `create_asyncpg_engine` creates it.

    Args:
        drivername: dialect and driver, such as "postgresql+psycopg".
        prefix: beginning of the variables' names.
    """
    from sqlalchemy.engine import URL  # noqa: PLC0415 - the other functions do not need it

    settings = _read(prefix)
    credential = settings.pop("credential", None)
    names = {"user": "username", "password": "password", "host": "host", "port": "port", "dbname": "database"}
    parts = {name: settings.pop(keyword) for keyword, name in names.items() if keyword in settings}
    url = URL.create(drivername, **parts, query=settings)
    return {"url": url, "connect_args": {} if credential is None else {"credential": credential}}


def django(*, prefix: str = _PREFIX) -> dict[str, Any]:
    """Return the settings of a database in Django's `DATABASES`, without its `ENGINE`.

    `{"ENGINE": "azure_postgresql_auth.django", **service_connector.django()}`
    """
    settings = _read(prefix)
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    database = {name: str(settings.pop(keyword)) for keyword, name in names.items() if keyword in settings}
    return {**database, "OPTIONS": settings}


# libpq's keyword for the end of each variable's name. Client types have different names for the same setting.
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
    """Return the settings by libpq's keywords, and `credential` unless they include a password."""
    settings: dict[str, Any] = {}
    # The variable that each setting comes from.
    sources: dict[str, str] = {}
    for variable, keyword, value in _settings(prefix):
        if settings.setdefault(keyword, value) != value:
            message = f"{sources[keyword]} and {variable} contradict each other about {keyword}; remove one of them"
            raise ValueError(message)
        sources.setdefault(keyword, variable)
    _check_complete(prefix, sources)
    if "port" in settings:
        if not settings["port"].isdecimal():
            message = f"{sources['port']} has port {settings['port']!r}, which is not a number"
            raise ValueError(message)
        settings["port"] = int(settings["port"])
    credential = _credential(prefix, sources.get("password"))
    if credential is None:
        return settings
    if settings.get("sslmode") == "require" and is_azure_server(settings["host"]):
        del settings["sslmode"]
    return {**settings, "credential": credential}


# Source: Microsoft's documentation, "Environment variables and app settings in Azure App Service", connection strings.
_APP_SERVICE: Final = "POSTGRESQLCONNSTR_"
_KEY_VAULT: Final = "@Microsoft.KeyVault("


def _value(variable: str) -> str:
    """Return a variable's value; "" if it is not set.

    Raises:
        ValueError: the value is malformed, for example because it contains quotation marks.
    """
    value = os.environ.get(variable, "")
    # libpq ignores white space around a connection string. A password may contain any characters.
    examined = value.strip() if variable.endswith("_CONNECTIONSTRING") else value
    if variable.endswith("_PASSWORD") and not value.startswith(_KEY_VAULT):
        return value
    defect = value_defect(examined)
    if defect is not None:
        message = f"{variable} {defect}"
        raise ValueError(message)
    return value


def _settings(prefix: str) -> Iterator[tuple[str, str, str]]:
    """Return each setting as its variable, libpq's keyword and its value."""
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


_KEYWORD: Final = re.compile(r"[a-z_]+")


def _parsed(variable: str, connection_string: str) -> Iterator[tuple[str, str]]:
    try:
        for keyword, value in _conninfo.pairs(connection_string):
            if not _KEYWORD.fullmatch(keyword) or keyword in Options.__slots__:
                raise ValueError  # noqa: TRY301 - as if it could not be read
            if value:
                yield keyword, value
    except ValueError:
        # The message does not quote the value, which may contain a password.
        message = (
            f"{variable} is not in libpq's format, 'host=... dbname=... user=...': the "
            f"connection was made for another client type. Make it for Python, Django or none"
        )
        raise ValueError(message) from None


def _credential(prefix: str, password: str | None) -> object | None:
    """Return the credential for the variables; None if there is a password, from the variable named `password`."""
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
    """Create the credential; return the same object each time, because tokens are cached per credential object."""
    if tenant_id and client_id and client_secret:
        return ClientSecretCredential(tenant_id, client_id, client_secret)
    if client_id and in_kubernetes:
        return WorkloadIdentityCredential(tenant_id=tenant_id, client_id=client_id)
    if client_id:
        return ManagedIdentityCredential(client_id=client_id)
    return ChainedTokenCredential(ManagedIdentityCredential(), AzureCliCredential(), AzureDeveloperCliCredential())


def _check_complete(prefix: str, sources: dict[str, str]) -> None:
    """Raise `ValueError` unless all settings that a connection needs are set."""
    if not sources:
        message = f"Service Connector has set no connection: neither {prefix}_CONNECTIONSTRING nor {prefix}_HOST is set"
        others = {
            name.rpartition("_")[0]
            for name in (variable.removeprefix(_APP_SERVICE) for variable in os.environ)
            if name.startswith(f"{_PREFIX}_") and name.endswith(("_CONNECTIONSTRING", "_HOST"))
        }
        if others:
            message += f"; there is one for prefix={' and '.join(map(repr, sorted(others)))}"
        raise ValueError(message)
    needed = {"host": "HOST", "dbname": "NAME (or _DATABASE)"}
    if "password" in sources:
        needed["user"] = "USER (or _USERNAME)"
    for keyword, variable in needed.items():
        if keyword not in sources:
            message = f"{prefix}_{variable} is not set, only {', '.join(sorted(set(sources.values())))}"
            raise ValueError(message)
