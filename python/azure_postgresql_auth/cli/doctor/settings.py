"""Check the settings of the connection, and whether a token may be sent over it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from azure_postgresql_auth import _plugin_hosts, tls
from azure_postgresql_auth._core import is_azure_server
from azure_postgresql_auth.cli import logins
from azure_postgresql_auth.cli.doctor.finding import FAILURE, OK, WARNING, Context, Finding
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.cli.doctor.finding import Endpoint

_OTHER_SERVICES = (".mysql.database.azure.com", ".mariadb.database.azure.com", ".database.windows.net")


def check(context: Context) -> Iterator[Finding]:
    """Read the settings as the drivers do."""
    if context.url.note:
        yield Finding(OK, context.url.note)
    if context.plan.has_unresolved_service:
        service = context.parameters.get("service")
        yield Finding(
            FAILURE,
            f"service={service}",
            f"service={service} is in none of the service files, or libpq cannot read its section",
            "check ~/.pg_service.conf, PGSERVICEFILE and PGSYSCONFDIR; a line of a section is host=..., without spaces",
        )
        return
    if not any(endpoint.host or endpoint.address for endpoint in context.endpoints):
        yield Finding(
            FAILURE,
            "no host",
            "no host is given, so the login goes to a server on this machine",
            "name the server: host=myserver.postgres.database.azure.com, or PGHOST",
        )
        return
    try:
        context.settings = logins.PROGRAM.plan(context.parameters).settings
    except InsecureTransportError:
        gss = context.parameters.get("gssencmode") == "require"
        setting = "gssencmode=require" if gss else f"sslmode={context.parameters.get('sslmode')}"
        yield Finding(
            FAILURE,
            setting,
            f"{setting} could send the token, which is a password, unencrypted, so none is requested",
            "remove gssencmode and PGGSSENCMODE"
            if gss
            else "remove sslmode and PGSSLMODE (Azure's servers get verify-full), or use require or stronger",
        )
        return
    for endpoint in context.endpoints:
        yield from _host(endpoint.host)
    if context.url.names_plugin:
        yield from _plugin(context.endpoints)
    mode, roots = sslmode(context), sslrootcert(context)
    places = ", ".join(map(str, context.endpoints))
    trust = "" if not roots else ", Azure's roots" if roots == tls.AZURE_ROOTS else f", roots in {roots}"
    yield Finding(
        OK, f"{places}, database {context.parameters.get('dbname') or '(of the user)'}, sslmode={mode}{trust}"
    )


def _host(host: str) -> Iterator[Finding]:
    name = host.rstrip(".").lower()
    other = next((suffix for suffix in _OTHER_SERVICES if name.endswith(suffix)), "")
    if other:
        yield Finding(
            WARNING,
            f"{host} is not named like a PostgreSQL server",
            f"{host} is a server of another service ({other[1:]}), not of Azure Database for PostgreSQL",
            "name a server in .postgres.database.azure.com",
        )
    elif ".privatelink." in name and is_azure_server(name):
        public = name.replace(".privatelink.", ".")
        yield Finding(
            WARNING,
            f"{host} is the name of a private endpoint",
            f"{host} is a private endpoint's name, which is not in the certificate",
            f"connect to {public}; the private DNS zone resolves it to the endpoint",
        )


def _plugin(endpoints: list[Endpoint]) -> Iterator[Finding]:
    saw = f"{_plugin_hosts.VARIABLE}={os.environ.get(_plugin_hosts.VARIABLE, '')}"
    try:
        unlisted = _plugin_hosts.first_unlisted((endpoint.host, str(endpoint.port)) for endpoint in endpoints)
    except EntraConnectionValueError as error:
        yield Finding(FAILURE, saw, str(error), "correct the variable, or remove the entry")
        return
    if unlisted is not None:
        remedy = (
            f"if you trust this server, add {unlisted.entry} to the variable, in the environment of the program and of "
            f"the doctor"
        )
        yield Finding(FAILURE, saw, str(unlisted), remedy)


def sslmode(context: Context) -> str:
    """Return the effective `sslmode`; libpq's default if it is not set."""
    return context.settings.get("sslmode") or context.parameters.get("sslmode") or "prefer"


def sslrootcert(context: Context) -> str:
    """Return the effective file of root certificates; "" if none is set."""
    return context.settings.get("sslrootcert") or context.parameters.get("sslrootcert") or ""
