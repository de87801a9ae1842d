"""The engine plugin's rules for connection URLs.

The author of a URL chooses the server that receives the token, and what the process's identity does there. The author
may not be the operator of the process: many programs let their users add databases. The plugin therefore logs in only
to servers that the operator lists in an environment variable, and verifies them. From a URL, and from `connect_args`
that a form could have filled in, it accepts only parameters that cannot change where a token goes or how it is
protected. Objects, such as credentials and TLS contexts, can only come from the program's code and are accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_postgresql_auth import _plugin_hosts, tls
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from azure_postgresql_auth._core import ConnectionPlan
    from azure_postgresql_auth._engine.connect import Options

_TEXT: Final = (str, bytes, int, float, bool, list, tuple, dict)
_TLS: Final = ("sslmode", "ssl", "ssl_context")
PLACE_AND_NAMES: Final = frozenset({"host", "port", "user", "dbname", "database"})
# Parameters that change neither where a token goes nor how it is protected. All others are refused, including those
# that a later version of a driver adds.
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
    """Return whether a parameter of a URL's query belongs to the plugin."""
    return name == "plugin" or name.startswith("entra_")


def check_parameters(parameters: dict[str, Any], options: Options, arguments: list[Any]) -> None:
    """Check the parameters of a URL and of `connect_args`.

    Raises:
        EntraConnectionValueError: they contain a password, or a parameter that a URL may not set.
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
            # The same as the default of every connection that sends a token over TLS.
            continue
        elif isinstance(value, _TEXT):
            hint = "; set PGSSLROOTCERT instead" if name == "sslrootcert" else ""
            message = (
                f"plugin=entra does not accept the connection parameter {name!r}: a URL may not decide where a token "
                f"goes or what protects it; remove it{hint}, or use enable_entra_authentication in the program's code"
            )
            raise EntraConnectionValueError(message)


def _check_tls(name: str, value: Any) -> None:
    # A context that checks the host name verifies the certificate, too.
    if value == "" or (value.check_hostname if tls.is_context(value) else tls.sslmode_of(value) == "verify-full"):
        return
    message = (
        f"Refused to request a token: {name} asks for less than verify-full, and with plugin=entra a server is always "
        f"verified; remove {name}"
    )
    raise InsecureTransportError(message)


def needs_verification(plan: ConnectionPlan, parameters: dict[str, Any]) -> bool:
    """Return whether the plan verifies less than verify-full does, for a server on another machine."""
    if plan.tls is None or plan.tls[0] == "verify-full":
        return False
    return not any(tls.is_context(parameters.get(name)) for name in _TLS)


def check_target(plan: ConnectionPlan) -> None:
    """Check the servers of a connection.

    Raises:
        EntraConnectionValueError: a server is not listed by the operator, or is not named.
    """
    hosts, addresses, ports = plan.target or ((), (), ())
    if not any(hosts):
        where = f"only an address, {addresses[0]}" if any(addresses) else "no host"
        message = f"plugin=entra requires the name of a server, and the URL names {where}"
        raise EntraConnectionValueError(message)
    unlisted = _plugin_hosts.first_unlisted(_pairs(hosts, ports or ("",)))
    if unlisted is not None:
        message = (
            f"{unlisted}. A URL may come from anybody, so tokens are only sent to the servers that this environment "
            f"variable lists; if you trust this one, add {unlisted.entry}"
        )
        raise EntraConnectionValueError(message)


def _pairs(hosts: tuple[str, ...], ports: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if len(hosts) == len(ports):
        return zip(hosts, ports)
    return ((host, port) for host in hosts for port in ports)
