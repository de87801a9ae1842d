"""What the caller said, wherever it was said: keyword, connection string, environment.

Precedence is libpq's: keyword over connection string over environment. `user` counts as said in `PGUSER` too; an
operating system's user name, which libpq would fall back to, does not.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Said(NamedTuple):
    """The part of a libpq connection's parameters that decides how to log in."""

    user: str | None
    password: str | None
    hosts: tuple[str, ...]
    """Host names as given; empty for libpq's own default, a local socket."""
    addresses: tuple[str, ...]
    """Numeric addresses (`hostaddr`) that are connected to instead, one for each host."""
    sslmode: str | None
    sslrootcert: str | None
    connect_timeout: float | None

    @classmethod
    def from_libpq(cls, parameters: Mapping[str, Any]) -> Said:
        """Reads parameters that keywords and connection string have been merged into."""

        def said(keyword: str, variable: str) -> str | None:
            value = parameters.get(keyword)
            return str(value) if value not in (None, "") else os.environ.get(variable) or None

        def listed(keyword: str, variable: str) -> tuple[str, ...]:
            value = said(keyword, variable)
            return tuple(value.split(",")) if value else ()

        return cls(
            user=said("user", "PGUSER"),
            # PGPASSWORD is not counted: it is for whoever asks for no Entra login.
            password=str(parameters["password"]) if parameters.get("password") else None,
            hosts=listed("host", "PGHOST"),
            addresses=listed("hostaddr", "PGHOSTADDR"),
            sslmode=said("sslmode", "PGSSLMODE"),
            sslrootcert=said("sslrootcert", "PGSSLROOTCERT"),
            connect_timeout=_timeout(said("connect_timeout", "PGCONNECT_TIMEOUT")),
        )

    @property
    def complete(self) -> bool:
        """User and password are both said: a plain login that needs no token."""
        return self.user is not None and self.password is not None


def _timeout(text: str | None) -> float | None:
    """Seconds; libpq takes 0 and less for no limit, and refuses what is no number itself."""
    try:
        seconds = float(text) if text else 0.0
    except ValueError:
        return None
    return seconds if seconds > 0 else None
