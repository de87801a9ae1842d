"""Databases of a Django project, without the project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import django
import pytest
from django.conf import settings
from django.db.utils import ConnectionHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator

ENGINE = "azure_postgresql_auth.django"

needs_pools = pytest.mark.skipif(django.VERSION < (5, 1), reason="Django before 5.1 has no pools")

settings.configure(
    DATABASES={}, DEBUG=True, ROOT_URLCONF=(), SECRET_KEY="no secret", SILENCED_SYSTEM_CHECKS=[], USE_TZ=True
)
django.setup()


class Databases:
    """Makes databases, each with its own connection, and closes them in the end."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._made: list[Any] = []

    def __call__(self, alias: str = "default", **entry: Any) -> Any:
        """Django's connection to the emulator's server, with these settings."""
        entry = {"ENGINE": ENGINE, "NAME": self._emulator.database, **entry}
        return self.handled(ConnectionHandler({"default": {}, alias: entry}), alias)

    def handled(self, handler: Any, alias: str) -> Any:
        """Return a connection of a handler."""
        self._made.append(handler[alias])
        return self._made[-1]

    def copy(self, connection: Any) -> Any:
        """One more connection to the same database, as another thread has it."""
        self._made.append(connection.copy())
        return self._made[-1]

    def close(self) -> None:
        for connection in self._made:
            connection.close()
            if hasattr(connection, "close_pool") and connection.settings_dict["OPTIONS"].get("pool"):
                connection.close_pool()


def who(connection: Any) -> str:
    """Return the user of a connection, which stays open."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user")
        return str(cursor.fetchone()[0])


@pytest.fixture
def database(emulator: Emulator) -> Iterator[Callable[..., Any]]:
    databases = Databases(emulator)
    yield databases
    databases.close()
