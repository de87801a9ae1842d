"""Obtain a login, and the environment variables with which a program on libpq uses it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from azure_postgresql_auth import _precedence, core, tls
from azure_postgresql_auth._core import Driver
from azure_postgresql_auth.cli import terminal
from azure_postgresql_auth.cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    from azure_postgresql_auth._core import ConnectionPlan, Login
    from azure_postgresql_auth.cli.argv import Arguments

PROGRAM: Final = Driver("libpq", tls.AZURE_ROOTS, libpq_version=180_000)
"""A program on libpq, configured by variables; an older libpq ignores variables that it does not know."""
_VARIABLES: Final = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "gssencmode": "PGGSSENCMODE"}


def login(plan: ConnectionPlan, *, user_known: bool | None = None) -> Login:
    """Return the login for a plan.

    Args:
        plan: the plan of the connection.
        user_known: True to not read the token's claims; by default whether the plan has a user.
    """
    try:
        with terminal.waiting("waiting for a token"):
            return core.login(None, plan.scope, user_known=plan.user_known if user_known is None else user_known)
    except ValueError as error:
        # An environment variable has an invalid value.
        raise Failure(str(error), USAGE) from error


class Access(NamedTuple):
    """The settings with which a program on libpq logs in."""

    variables: dict[str, str]
    """Environment variables, without the password."""
    login: Login | None
    """The login whose token is the password; None if the program has its own user and password."""
    scope: str
    """OAuth 2.0 scope of later tokens."""


def access(arguments: Arguments, scope: str | None = None) -> Access:
    """Return the settings with which a program on libpq logs in.

    Args:
        arguments: the connection parameters in the program's arguments.
        scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.

    Raises:
        InsecureTransportError: the settings could send the token unencrypted.
        Failure: variables cannot protect the token, or the hosts are in different Azure clouds.
    """
    plans = _plans(arguments, scope)
    # Of several servers, those with a password of their own need no token, and those of this machine may not know it.
    needing = [plan for plan in plans if not plan.has_credentials] or plans
    plan = next((plan for plan in needing if plan.tls is not None), needing[0])
    # A program that may connect to another server gets the settings that follow from the environment alone.
    decided = plan if arguments.is_certain else PROGRAM.plan({}, scope=plan.scope, is_opaque=True)
    variables = _variables(decided.settings)
    if plan.has_credentials:
        return Access(variables, None, "")
    for given, each in zip(arguments.readings, plans):
        _check_precedence(each, given, is_protected=decided.tls is not None)
    found = login(plan)
    return Access({"PGUSER": plan.user or found.user or "", **variables}, found, plan.scope)


def check(arguments: Arguments, host: str, scope: str) -> None:
    """Check that a program does not send a token unencrypted, which it finds in a password file.

    Args:
        arguments: the connection parameters in its arguments.
        host: the hosts that it connects to if its arguments name none.
        scope: OAuth 2.0 scope of the token.

    Raises:
        InsecureTransportError: the settings could do so.
        Failure: variables cannot protect the token.
    """
    readings = [
        reading if "host" in reading or "service" in reading else {**reading, "host": host}
        for reading in arguments.readings
    ]
    for given, plan in zip(readings, _plans(arguments._replace(readings=readings), scope)):
        _check_precedence(plan, given, is_protected=plan.tls is not None)


def _plans(arguments: Arguments, scope: str | None) -> list[ConnectionPlan]:
    """Return the plan of each reading of the arguments, none of which may send a token unencrypted."""
    for service in arguments.services:
        given = {"service": service}
        plan = PROGRAM.plan(given, scope=scope, is_opaque=True)
        # What is not the name of a service may only look like one.
        if not plan.has_unresolved_service:
            _check_precedence(plan, given, is_protected=True)
    return [_plan(parameters, scope) for parameters in arguments.readings]


def settings(parameters: dict[str, str], scope: str | None = None) -> tuple[dict[str, str], str]:
    """Return the variables that protect a token in a program on libpq, and the token's scope.

    The arguments and errors are those of `access`.
    """
    plan = _plan(parameters, scope)
    return _variables(plan.settings), plan.scope


def _plan(parameters: dict[str, str], scope: str | None) -> ConnectionPlan:
    try:
        return PROGRAM.plan(parameters, scope=scope)
    except ValueError as error:
        raise Failure(scope_problem(error, "give --scope to choose one") or str(error), USAGE) from error


def scope_problem(error: ValueError, remedy: str) -> str:
    """Return what to say of hosts whose scopes differ, with a remedy in terms of the command; "" for other errors."""
    report = getattr(error, "report", None)
    return f"{report.cause}; {remedy}" if report is not None and report.code == "ambiguous_scope" else ""


def _variables(settings: Mapping[str, Any]) -> dict[str, str]:
    return {_VARIABLES[keyword]: value for keyword, value in settings.items() if keyword in _VARIABLES}


def _check_precedence(plan: ConnectionPlan, given: dict[str, str], *, is_protected: bool) -> None:
    problem = _precedence.problem(plan, given, is_protected=is_protected)
    if problem:
        raise Failure(problem, USAGE)


def user_of(given: str | None) -> str | None:
    """Return the user of the command's option, else of libpq's variable."""
    return given or os.environ.get("PGUSER") or None
