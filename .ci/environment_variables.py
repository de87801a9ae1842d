"""The documentation's page of environment variables, made from the engine's table."""

from __future__ import annotations

from itertools import groupby

import tables

TITLE = """\
# Environment variables

Every variable that this package reads. One that is empty counts as not set. Values are read when they are needed, not
when the package is imported. Arguments in code, connection strings and command lines take precedence over variables.
"""
INTRODUCTIONS = {
    "Credentials": "[How the credential is found](../credentials.md#how-the-credential-is-found) says what they do.",
    "Managed identity": "The host sets these. You set none of them, except for `AZURE_CLIENT_ID` above.",
    "Network": (
        "For requests to Entra ID. Managed identity uses neither a proxy nor these certificates. Each credential also "
        "takes `proxies` and `connection_verify`."
    ),
    "This package": (
        "See [One token for many processes](../operations/processes.md#one-token-for-many-processes), the "
        "[SQLAlchemy plugin](../programs.md) and the [proxy](../proxy.md)."
    ),
    "PostgreSQL": (
        "Read exactly where the driver reads them; psycopg and psycopg2 use libpq. [TLS](../tls.md) says how the "
        "connection is protected, and [who logs in](../roles.md) where the role comes from."
    ),
    "Service Connector": (
        "[`service_connector`](../service-connector.md) alone reads these. Those of an app's further connections begin "
        "with `AZURE_POSTGRESQL_` and the connection's name, which `prefix` names."
    ),
    "Systemd": "systemd sets these for the [proxy](../proxy.md) when it runs as a service.",
    "Operating system": "The system, the shell or the terminal sets these.",
}
HEAD = ("variable", "meaning", "default", "read by", "defined by")


def page() -> str:
    """Return the page as Markdown."""
    from azure_postgresql_auth import _core  # noqa: PLC0415 - as the other generated pages

    parts = [TITLE]
    for section, rows in groupby(_core.environment_variables(), key=lambda row: row[0]):
        table = tables.markdown(HEAD, [(f"`{name}`", *rest) for _, name, *rest in rows])
        parts += [f"## {section}\n", f"{INTRODUCTIONS[section]}\n", table]
    return "\n".join(parts)
