"""Interpret the errors with which a driver itself ends a login, without a refusal by the server.

The texts are libpq's (fe-connect.c, fe-auth.c, fe-secure-openssl.c) and asyncpg's.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from azure_postgresql_auth.cli.doctor.finding import Advice

_MANY = "Multiple connection attempts failed"
_AROUND = (
    r"connection (?:failed|is bad): |invalid dsn: "
    r"|connection to server (?:at|on socket) \"[^\"]*\"(?: \([^)]*\))?(?:, port \d+)? failed: "
)
_SERVERS = r"(?:FATAL|ERROR|PANIC):\s+(.*)"


class DriverError(NamedTuple):
    """The contents of a driver's exception."""

    text: str
    by_server: bool
    """Whether the text is the server's."""


def read(error: Exception) -> DriverError:
    """Extract the reason from the text that drivers put around it."""
    text = " ".join(str(error).partition(_MANY)[0].split())
    # libpq tries each address of a name, and reports a reason for each.
    reasons = list(dict.fromkeys(reason.strip() for reason in re.split(_AROUND, text) if reason.strip()))
    for reason in reasons:
        if found := re.search(_SERVERS, reason):
            return DriverError(found[1], by_server=True)
    return DriverError(
        "; ".join(reasons) or type(error).__name__, by_server=_is_servers(getattr(error, "sqlstate", None))
    )


def _is_servers(sqlstate: str | None) -> bool:
    # asyncpg's own errors have an SQLSTATE of class 08, connection exceptions.
    return sqlstate is not None and not sqlstate.startswith("08")


def explained(driver: str, text: str) -> Advice:
    """Return cause and remedy of a login that the driver ended.

    Args:
        driver: name of the driver.
        text: reason of the error.
    """
    remedy = next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, text)), _ANY_SETTING)
    who = _SERVER_SIDE if remedy in {_STATE, _SLOW, _NETWORK} else f"{driver} ended the login on this machine"
    return Advice(f"{who}: {text}", remedy)


_SERVER_SIDE = "the server did not complete the login"
_ANY_SETTING = "correct the setting that this names: in the connection string, a PG... variable or the service file"
_STATE = "try again; if it persists, check the server's state and log"
_SLOW = "increase connect_timeout; if it persists, check the server's state and load"
_NETWORK = "check this machine's network, and that the server is running"
_HOME = (
    "HOME, where libpq looks for a client certificate, belongs to another user: set it to the home directory of the "
    "user that runs this, or set sslcertmode=disable (libpq 16)"
)
_NO_CLIENT_CERTIFICATE = (
    "remove sslcert and sslkey (PGSSLCERT, PGSSLKEY, ~/.postgresql/postgresql.crt): a login with a token needs none"
)
_UNSUPPLIED = (
    "connect with this package, which supplies the token; with SQLAlchemy, check that plugin=entra is in the URL that "
    "create_engine gets"
)
_REMEDIES = (
    (r"bad value for|invalid (?:integer )?value", _ANY_SETTING),
    (r"private key file .* has group or world access", f"chmod 0600 the key file; or {_NO_CLIENT_CERTIFICATE}"),
    (r"certificate file \".*\": Permission denied|private key file \".*\": Permission denied", _HOME),
    (
        r"private key file|certificate present, but|could not (?:read|open|load) certificate file",
        _NO_CLIENT_CERTIFICATE,
    ),
    (
        r"[Cc]hannel binding",
        "remove channel_binding (PGCHANNELBINDING): a token is sent as a password, which does not support it",
    ),
    (
        r"authentication method requirement",
        "remove require_auth (PGREQUIREAUTH), or let it include password: a token is sent as a password, inside TLS",
    ),
    (
        r"session is (?:not )?read-only|hot standby mode|None of the hosts match",
        "the login works; remove target_session_attrs (PGTARGETSESSIONATTRS), or name a server of that kind",
    ),
    (
        r"no password supplied",
        _UNSUPPLIED,
    ),
    (
        r"\"(?:plugin|entra_credential|entra_client_id)\"",
        "give a URL with plugin=entra to SQLAlchemy's create_engine; psycopg, psycopg2 and asyncpg take it without",
    ),
    (
        r"root certificate file",
        "name a file of roots with sslrootcert; for a server of Azure, omit sslmode and sslrootcert",
    ),
    (r"certificate verify failed|does not match host name", "see the step tls above"),
    (r"GSSAPI|GSS encryption", "remove gssencmode (PGGSSENCMODE)"),
    (r"expected authentication request from server", "check host and port: what listens there is no PostgreSQL server"),
    (r"closed the connection unexpectedly|Connection reset|connection was closed|ConnectionDoesNotExist", _STATE),
    (r"unexpected eof|EOF detected", _STATE),
    (r"timeout expired|[Tt]imed? ?out|CancelledError|no answer within", _SLOW),
    (r"Connection refused|could not translate host name|No route to host|unreachable", _NETWORK),
)
