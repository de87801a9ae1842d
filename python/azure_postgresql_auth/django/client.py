"""`manage.py dbshell`: psql with a login of Microsoft Entra ID."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.db.backends.postgresql import client as postgresql

from azure_postgresql_auth import _precedence, tls
from azure_postgresql_auth._engine.connect import NO_OPTIONS, ErrorTranslation, connect
from azure_postgresql_auth._redacted import without_frames
from azure_postgresql_auth.django._connection import (
    EntraOperationalError,
    InsecureTransportOperationalError,
    driver,
    make_conninfo,
    parsed,
    plan_for,
)
from azure_postgresql_auth.errors import InsecureTransportError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DatabaseClient"]

_STRICTEST = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": tls.AZURE_ROOTS, "PGGSSENCMODE": "disable"}
TRANSLATION = ErrorTranslation(EntraOperationalError, InsecureTransportOperationalError)
# The parameters in a database's OPTIONS that libpq knows; the others are the driver's.
_LIBPQ = (
    "dbname",
    "host",
    "hostaddr",
    "port",
    "user",
    "service",
    "servicefile",
    "passfile",
    "connect_timeout",
    "options",
    "application_name",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "gssencmode",
    "channel_binding",
    "target_session_attrs",
)


class DatabaseClient(postgresql.DatabaseClient):
    """psql with the token in its environment, which other users of the machine cannot read."""

    def runshell(self, parameters: Iterable[str]) -> None:
        """Run psql until it ends."""
        parameters = list(parameters)
        with self.connection.wrap_database_errors:
            client, settings = _with_login(self.connection, parameters)
        handled = sys.exc_info()[1]
        try:
            # Called after the login, because Django's client ignores Ctrl-C.
            client(SimpleNamespace(settings_dict=settings)).runshell(parameters)
        except BaseException as error:  # noqa: BLE001 - raised again
            # For example, psql is not installed. The frames hold its environment.
            raise without_frames(error, handled=handled) from None


class _ByConnectionString(postgresql.DatabaseClient):
    """psql that connects with the connection string in `NAME`, whatever its other arguments."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str]]:
        # The connection string comes first, because psql takes a second database name as the user name. A later -d can
        # still name another server; the variables in _STRICTEST protect the token in that case.
        arguments = [cls.executable_name, "-d", settings_dict["NAME"], *parameters]
        return arguments, {"PGPASSWORD": settings_dict["PASSWORD"], **_STRICTEST}


def _check(parameters: Iterable[str]) -> None:
    """Check psql's arguments for connection strings, which take precedence over the variables in _STRICTEST.

    Raises:
        InsecureTransportError: one could send the token unencrypted.
    """
    for parameter in parameters:
        try:
            given = parsed(parameter.removeprefix("--dbname=").removeprefix("-d"))
        except driver.Error:
            continue  # no connection string
        plan = plan_for(given, {}, NO_OPTIONS)
        problem = _precedence.problem(plan, given, is_protected=plan.tls is not None)
        if problem:
            raise InsecureTransportError(problem)


def _with_login(connection: Any, parameters: Iterable[str]) -> tuple[type[postgresql.DatabaseClient], dict[str, Any]]:
    """Return the client and its settings; only the environment that it makes of them contains the token."""
    params = connection.get_connection_params()
    options = NO_OPTIONS.taken_from(params)
    with TRANSLATION:
        plan = plan_for({}, params, options)
    if plan.has_credentials:
        settings: dict[str, Any] = connection.settings_dict
        return postgresql.DatabaseClient, settings
    with TRANSLATION:
        _check(parameters)
    # psql connects with a connection string, which takes precedence over services and variables.
    arguments = connect(plan, options, TRANSLATION, lambda arguments: arguments)
    password = arguments.get("password")
    # Set explicitly, because the variables in _STRICTEST are for other servers.
    in_force = plan.parameters()
    for keyword, default in (("sslmode", "prefer"), ("sslrootcert", ""), ("gssencmode", "prefer")):
        arguments.setdefault(keyword, in_force.get(keyword, default))
    conninfo = make_conninfo(
        **{keyword: arguments[keyword] for keyword in _LIBPQ if arguments.get(keyword) is not None}
    )
    return _ByConnectionString, {"NAME": conninfo, "PASSWORD": password}
