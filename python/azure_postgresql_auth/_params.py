"""What the caller said, wherever it was said: keyword, connection string, service file, environment.

Precedence is libpq's, in this order. `user` counts as said in `PGUSER` too; an operating system's user name, which
drivers would fall back to, does not, and neither does `PGPASSWORD`: it is for those who ask for no Entra login.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth._core import libpq_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Said:
    """The part of a connection's parameters that decides how to log in.

    Attributes:
        user: the user.
        password: a string, or what a driver takes instead, such as a function; None if it is not said.
        hosts: host names as given; empty for the driver's own default, a local socket.
        addresses: numeric addresses (`hostaddr`) that are connected to instead, one for each host.
        sslmode: libpq's.
        sslrootcert: libpq's.
        timeout: seconds that connecting may take.
    """

    # A named tuple would take longer to make than all of this module.
    __slots__ = ("addresses", "hosts", "password", "sslmode", "sslrootcert", "timeout", "user")

    def __init__(self, said: Mapping[str, Any], addresses: Any = None) -> None:
        self.user = _text(said.get("user"))
        self.password = said.get("password")
        self.hosts = tuple(_listed(said.get("host")))
        self.addresses = tuple(_listed(addresses))
        self.sslmode = _text(said.get("sslmode"))
        self.sslrootcert = _text(said.get("sslrootcert"))
        self.timeout = _seconds(said.get("connect_timeout") or said.get("timeout"))

    @property
    def complete(self) -> bool:
        """User and password are both said: a plain login that needs no token."""
        return self.user is not None and self.password is not None

    @classmethod
    def from_libpq(cls, *parameters: Mapping[str, Any]) -> Said:
        """Reads libpq's parameters; of several dictionaries, the later ones win."""
        said = in_force(*parameters)
        return cls(said, said.get("hostaddr"))

    @classmethod
    def from_url(cls, url: str | None, parameters: Mapping[str, Any]) -> Said:
        """Reads asyncpg's parameters: a URL, and keywords that win over it."""
        given: dict[str, Any] = {}
        if url:
            from urllib.parse import parse_qsl, unquote, urlsplit  # noqa: PLC0415 - libpq's drivers need none of it

            parts = urlsplit(url)
            credentials, _, hosts = parts.netloc.rpartition("@")
            user, _, password = credentials.partition(":")
            given = {"user": unquote(user), "password": unquote(password)}
            given["host"] = [_without_port(unquote(host)) for host in hosts.split(",") if host]
            given.update(parse_qsl(parts.query))
        return cls(_completed({**_given(given), **_given(parameters)}))


def in_force(*parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Libpq's parameters as they hold in the end; of several dictionaries, the later ones win."""
    given: dict[str, Any] = {}
    for level in parameters:
        given.update(_given(level))
    return _completed(given)


def _completed(given: dict[str, Any]) -> dict[str, Any]:
    """With what the environment and a service file say besides."""
    environment = libpq_environment()
    named = environment.pop("service", None)
    service = given.get("service") or named
    if service:
        environment.update(_service(str(service), given.get("servicefile")))
    environment.update(given)
    return environment


def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that are empty: drivers pass them on as not given."""
    return {keyword: value for keyword, value in parameters.items() if value or value == 0}


def _service(name: str, file: str | None = None) -> dict[str, str]:
    """A section of the connection service file; empty if there is none, of which the driver will complain.

    Source: PostgreSQL's documentation, "The Connection Service File".
    """
    from configparser import ConfigParser, Error  # noqa: PLC0415 - few use one

    candidates = [file or os.environ.get("PGSERVICEFILE") or os.path.expanduser("~/.pg_service.conf")]  # noqa: PTH111
    if directory := os.environ.get("PGSYSCONFDIR"):
        candidates.append(os.path.join(directory, "pg_service.conf"))  # noqa: PTH118 - pathlib costs ms
    for candidate in candidates:
        services = ConfigParser(interpolation=None, strict=False, delimiters=("=",), comment_prefixes=("#",))
        try:
            services.read(candidate, encoding="utf-8")
        except (Error, UnicodeDecodeError):
            continue
        if services.has_section(name):
            return {keyword: value for keyword, value in services[name].items() if value}
    return {}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _listed(value: Any) -> Iterable[str]:
    if value is None:
        return ()
    return value.split(",") if isinstance(value, str) else (str(item) for item in value)


def _without_port(host: str) -> str:
    """`[::1]:5432` and `name:5432` without what is not the host."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _seconds(value: Any) -> float | None:
    """Libpq takes 0 and less for no limit; what is no number, the driver refuses itself."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if seconds > 0 else None
