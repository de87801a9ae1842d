"""Check the login itself, with the first installed driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_postgresql_auth._engine import refusal
from azure_postgresql_auth.cli import drivers
from azure_postgresql_auth.cli.doctor import driver_errors, server_errors
from azure_postgresql_auth.cli.doctor.finding import FAILURE, OK, PASSED_OVER, Context, Finding, Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHO = "SELECT session_user || ', PostgreSQL ' || current_setting('server_version')"


def check(context: Context) -> Iterator[Finding]:
    """Log in, query the current user, and disconnect."""
    driver = drivers.first(context.url.driver)
    if driver is None:
        yield Finding(
            PASSED_OVER,
            "no driver is installed, so the login was not tried: "
            f"pip install 'azure-postgresql-auth-rs[{drivers.ALL[0].extra}]'",
        )
        return
    clock = Stopwatch()
    try:
        who = drivers.ask(driver, _parameters(context), _WHO, _limit(context))
    except Exception as error:  # noqa: BLE001 - each driver has its own exceptions
        text, by_server = driver_errors.read(error)
        if by_server:
            kind = refusal.find(text, getattr(error, "sqlstate", None))
            advice = server_errors.explained(text, kind, context)
            context.refused_for_dates = context.expired is not None and server_errors.is_about_dates(kind)
        else:
            advice = driver_errors.explained(driver.name, text)
        yield Finding(FAILURE, f"{driver.name}: {text}", *advice, seconds=clock.seconds)
    else:
        yield Finding(OK, f"{driver.name}: logged in as {who}", seconds=clock.seconds)


def _connect_timeout(context: Context) -> int:
    return max(2, round(context.timeout * 3))


def _limit(context: Context) -> int:
    """Return the seconds for everything: the time to connect to each address, and as much for the statement."""
    return _connect_timeout(context) * (1 + max(1, sum(map(len, context.resolved.values()))))


def _parameters(context: Context) -> dict[str, Any]:
    password = context.plan.password if context.plan.has_credentials else context.token
    limit = {"connect_timeout": str(_connect_timeout(context))}
    # A service was read already, and names nothing that is not in the parameters.
    given = {name: value for name, value in context.parameters.items() if name not in {"service", "servicefile"}}
    return {**limit, **given, **context.settings, "user": context.user, "password": password}
