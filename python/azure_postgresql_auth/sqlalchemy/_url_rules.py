"""What a connection URL may ask for: the rules of the engine plugin.

Whoever writes the URL chooses the server that receives the token, and what the process's identity does there. That need
not be whoever runs the process: many programs let their users add databases. So the plugin logs in only to servers that
the operator lists in an environment variable, verifies them, and takes no parameter from a URL, or from `connect_args`
that a form could have filled in, but those that cannot change where a token goes or what protects it. Objects, such as
credentials and TLS contexts, can only come from the program's code and are accepted.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from azure_postgresql_auth import tls
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from azure_postgresql_auth._core import ConnectionPlan
    from azure_postgresql_auth._engine.connect import Options

HOSTS_VARIABLE: Final = "AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS"
_PORTS: Final = ("5432", "6432")
"""Those of an entry that names none: PostgreSQL's, and that of Azure's PgBouncer."""

_TEXT: Final = (str, bytes, int, float, bool, list, tuple, dict)
_TLS: Final = ("sslmode", "ssl", "ssl_context")
PLACE_AND_NAMES: Final = frozenset({"host", "port", "user", "dbname", "database"})
# What programs set that changes neither where a token goes nor what protects it. All others are refused, and so are
# those that a later version of a driver adds.
HARMLESS: Final = frozenset(
    {
        "application_name",
        "autocommit",
        "client_encoding",
        "command_timeout",
        "connect_timeout",
        "fallback_application_name",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "max_cacheable_statement_size",
        "max_cached_statement_lifetime",
        "options",
        "prepare_threshold",
        "prepared_statement_cache_size",
        "server_settings",
        "statement_cache_size",
        "target_session_attrs",
        "tcp_keepalive",
        "tcp_user_timeout",
        "timeout",
    }
)


def is_plugin_parameter(name: str) -> bool:
    """Whether it is a parameter of the plugin in a URL's query."""
    return name == "plugin" or name.startswith("entra_")


def check_parameters(parameters: dict[str, Any], options: Options, arguments: list[Any]) -> None:
    """Check what a URL and `connect_args` say.

    Raises:
        EntraConnectionValueError: there is a password, or a parameter that a URL may not set.
        InsecureTransportError: a TLS mode other than verify-full.
    """
    if parameters.get("password"):
        message = "plugin=entra logs in with a token, and there is a password, too; remove one of the two"
        raise EntraConnectionValueError(message)
    if options.allow_insecure_transport:
        message = "allow_insecure_transport cannot be used with plugin=entra; use enable_entra_authentication"
        raise InsecureTransportError(message)
    if isinstance(options.credential, str):
        message = "credential cannot be set in a URL; name one with entra_credential, or pass an object in connect_args"
        raise EntraConnectionValueError(message)
    if any(arguments):
        message = "plugin=entra does not support positional connection arguments"
        raise EntraConnectionValueError(message)
    for name, value in parameters.items():
        if name in PLACE_AND_NAMES | HARMLESS or value is None:
            continue
        if name in _TLS:
            _check_tls(name, value)
        elif name == "gssencmode" and value == "disable":
            # What holds for every token that TLS protects.
            continue
        elif isinstance(value, _TEXT):
            hint = "; set PGSSLROOTCERT instead" if name == "sslrootcert" else ""
            message = (
                f"plugin=entra does not accept the connection parameter {name!r}: a URL may not decide where a token "
                f"goes or what protects it; remove it{hint}, or use enable_entra_authentication in the program's code"
            )
            raise EntraConnectionValueError(message)


def _check_tls(name: str, value: Any) -> None:
    # A context that checks the name of the host requires a certificate, too.
    if value == "" or (value.check_hostname if tls.is_context(value) else tls.sslmode_of(value) == "verify-full"):
        return
    message = (
        f"Refused to request a token: {name} asks for less than verify-full, and with plugin=entra a server is always "
        f"verified; remove {name}"
    )
    raise InsecureTransportError(message)


def needs_verification(plan: ConnectionPlan, parameters: dict[str, Any]) -> bool:
    """Whether the plan leaves it at less than verify-full for another machine."""
    if plan.tls is None or plan.tls[0] == "verify-full":
        return False
    return not any(tls.is_context(parameters.get(name)) for name in _TLS)


def check_target(plan: ConnectionPlan) -> None:
    """Check where a connection goes.

    Raises:
        EntraConnectionValueError: to a server that the operator does not list, or to one that nobody names.
    """
    hosts, addresses, ports = plan.target or ((), (), ())
    if not any(hosts):
        where = f"only an address, {addresses[0]}" if any(addresses) else "no host"
        message = f"plugin=entra requires the name of a server, and the URL names {where}"
        raise EntraConnectionValueError(message)
    entries = list(entries_of(os.environ.get(HOSTS_VARIABLE, "")))
    for host, port in _pairs(hosts, ports or ("5432",)):
        if not any(entry.matches(host, port or "5432") for entry in entries):
            raise EntraConnectionValueError(_unlisted(host, port or "5432", is_set=bool(entries)))


def _pairs(hosts: tuple[str, ...], ports: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if len(hosts) == len(ports):
        return zip(hosts, ports)
    return ((host, port) for host in hosts for port in ports)


def _unlisted(host: str, port: str, *, is_set: bool) -> str:
    entry = host if port in _PORTS else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return (
        f"plugin=entra does not log in to {host!r}, port {port}: {HOSTS_VARIABLE} "
        f"{'does not list it' if is_set else 'is not set'}. A URL may come from anybody, so tokens are only sent to "
        f"the servers that this environment variable lists; if you trust this one, add {entry}"
    )


class _Entry(NamedTuple):
    """One server of the list, or all below a domain."""

    host: str
    ports: tuple[str, ...]

    def matches(self, host: str, port: str) -> bool:
        """Whether it allows a connection."""
        host = _normal(host)
        if port not in self.ports:
            return False
        if self.host.startswith("*."):
            # Nothing that a resolver, a driver or a C string could read otherwise.
            return host.endswith(self.host[1:]) and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", host) is not None
        return host == self.host


def _normal(host: str) -> str:
    return host if host.startswith("/") else host.lower().rstrip(".")


def entries_of(listed: str) -> Iterator[_Entry]:
    """Read a list of servers.

    Raises:
        EntraConnectionValueError: it has an entry that is no server.
    """
    for text in filter(None, map(str.strip, listed.split(","))):
        found = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+|[^:]*:[^:]*:.*?))(?::(?P<port>\d+))?", text)
        is_domain = re.fullmatch(r"\*(\.[A-Za-z0-9-]+){2,}(:\d+)?", text) is not None
        if found is None or ("*" in text and not is_domain):
            message = (
                f"{HOSTS_VARIABLE} has the entry {text!r}; expected host, host:port, [address]:port, a socket's "
                f"directory, or *.domain for all below a domain"
            )
            raise EntraConnectionValueError(message)
        port = found["port"]
        yield _Entry(_normal(found["v6"] or found["host"]), (port,) if port else _PORTS)
