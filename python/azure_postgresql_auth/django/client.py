"""`manage.py dbshell`: psql, logged in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.db.backends.postgresql import client as postgresql

from azure_postgresql_auth import tls
from azure_postgresql_auth._login import NO_OPTIONS, Failing, Terms, connect, libpq_limit
from azure_postgresql_auth._params import said_in
from azure_postgresql_auth.django._concealed import revealed
from azure_postgresql_auth.django._connection import EntraOperationalError, InsecureTransportOperationalError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DatabaseClient"]

_TERMS = Terms(Failing(EntraOperationalError, InsecureTransportOperationalError), limit=libpq_limit)


class DatabaseClient(postgresql.DatabaseClient):
    """psql with the token in its environment, where other users of the machine do not see it."""

    def runshell(self, parameters: Iterable[str]) -> None:
        """Runs it until it ends."""
        with self.connection.wrap_database_errors:
            settings = _with_login(self.connection)
        # Logged in already: Django's client lets no Ctrl-C through.
        postgresql.DatabaseClient(SimpleNamespace(settings_dict=settings)).runshell(parameters)


def _with_login(connection: Any) -> dict[str, Any]:
    """The database's settings, with what a connection would log in with."""
    params = connection.get_connection_params()
    params["credential"] = revealed(params["credential"])
    options = NO_OPTIONS.taken_from(params)
    said = said_in(params)
    with _TERMS.failing:
        secured = tls.libpq_settings(said, options.allow_insecure_transport)
    # psql connects by itself.
    login = connect(said, options, _TERMS, lambda login: login)
    settings = connection.settings_dict
    return {
        **settings,
        "USER": login.get("user", said.user),
        "PASSWORD": login.get("password", said.password),
        "OPTIONS": {**settings["OPTIONS"], **secured},
    }
