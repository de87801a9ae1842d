"""What the caller said, wherever it was said: keyword, connection string, service file, environment.

Precedence is libpq's, in this order. `user` counts as said in `PGUSER` too; an operating system's user name, which
drivers would fall back to, does not, and neither does `PGPASSWORD`: it is for those who ask for no Entra login.
"""

from __future__ import annotations

import os

from azure_postgresql_auth._core import Said, with_environment

TYPE_CHECKING = False  # typing's own costs milliseconds of start-up
if TYPE_CHECKING:
    from typing import Any


def in_force(*parameters: dict[str, Any]) -> dict[str, Any]:
    """Libpq's parameters as they hold in the end; of several dictionaries, the later ones win."""
    found = with_environment(*parameters)
    if "service" in found:
        section = _service(str(found["service"]), found.get("servicefile"))
        return with_environment(section, *parameters)
    return found


def said_in(*parameters: dict[str, Any]) -> Said:
    """Reads libpq's parameters; of several dictionaries, the later ones win."""
    found = in_force(*parameters)
    return Said(found, found.get("hostaddr"))


def said_in_url(url: str | None, parameters: dict[str, Any]) -> Said:
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
    return Said(in_force(given, parameters))


def _service(name: str, file: str | None) -> dict[str, str]:
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


def _without_port(host: str) -> str:
    """`[::1]:5432` and `name:5432` without what is not the host."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
