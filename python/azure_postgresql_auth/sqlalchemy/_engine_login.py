"""How the connections of an engine log in: one `do_connect` listener, and the settings that it finds for an engine."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from sqlalchemy import event, exc
from sqlalchemy.util import await_only

from azure_postgresql_auth import tls
from azure_postgresql_auth._core import Driver, is_database_scope
from azure_postgresql_auth._engine.connect import ErrorTranslation, Options, connect
from azure_postgresql_auth._engine.waiting import wait_async
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError
from azure_postgresql_auth.sqlalchemy import _url_rules

if TYPE_CHECKING:
    from typing import Final

    from sqlalchemy.engine import Dialect, Engine

    from azure_postgresql_auth._core import ConnectionPlan, Login, PendingLogin
    from azure_postgresql_auth._engine.registry import CredentialEntry

DRIVERS: Final = ("psycopg", "psycopg2", "pg8000", "asyncpg")
_PG8000 = Driver("pg8000", tls.AZURE_ROOTS)
_LIBPQ_ONLY = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl")


class EntraOperationalError(EntraConnectionValueError, exc.OperationalError):
    """Could not obtain a login; raised by `engine.connect()`."""

    __module__ = "azure_postgresql_auth.sqlalchemy"  # where programs import it, which is what tracebacks show

    def __init__(self, text: str, orig: Exception | None = None) -> None:
        exc.OperationalError.__init__(self, None, None, orig or Exception(text))
        self.args = (text,)

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.orig), {"report": self.report}


class InsecureTransportOperationalError(EntraOperationalError, InsecureTransportError):
    """The connection was refused because it could have sent its token unencrypted."""

    __module__ = "azure_postgresql_auth.sqlalchemy"


class EngineLogin(NamedTuple):
    """How the connections of one engine, or of all engines, log in."""

    options: Options
    is_from_url: bool = False
    """The login was enabled by the engine's URL, so the rules of `_url_rules` apply."""


# By dialect, because each engine has its own and shares it with the engines that `execution_options` creates.
_logins: weakref.WeakKeyDictionary[Dialect, EngineLogin] = weakref.WeakKeyDictionary()
_default: list[EngineLogin] = []


def set_login(target: Engine | type[Engine], login: EngineLogin) -> None:
    """Set how an engine's connections log in, instead of what was set before; a class stands for all engines.

    Raises:
        sqlalchemy.exc.ArgumentError: the engine is for another database, or on a driver that is not supported.
    """
    if isinstance(target, type):
        _default[:] = [login]
        event.listen(target, "do_connect", open_connection)
    else:
        _require_served(target.dialect)
        _logins[target.dialect] = login
        # SQLAlchemy ignores a function that listens already. `event.contains` must not be used: it compares ids, and
        # returns True for an engine that has the id of a deleted one.
        event.listen(target.dialect, "do_connect", open_connection)


def _is_served(dialect: Dialect) -> bool:
    return dialect.name == "postgresql" and dialect.driver.replace("_async", "") in DRIVERS


def _require_served(dialect: Dialect) -> None:
    if not _is_served(dialect):
        expected = ", ".join(f"postgresql+{driver}" for driver in DRIVERS)
        text = f"Entra ID logins are not supported for {dialect.name}+{dialect.driver}, only for {expected}"
        raise exc.ArgumentError(text)


def open_connection(dialect: Dialect, record: object, arguments: list[Any], parameters: dict[str, Any]) -> Any:
    """Open a connection that logs in: the listener of `do_connect`."""
    login = _logins.get(dialect) or next(iter(_default), None)
    if login is None or not _is_served(dialect):
        return None
    # SQLAlchemy calls no further listener after one that has returned a connection.
    listeners: list[Any] = list(dialect.dispatch.do_connect)
    for listener in listeners[listeners.index(open_connection) + 1 :]:
        if listener is not open_connection:
            connection = listener(dialect, record, arguments, parameters)
            if connection is not None:
                return connection
    translation = _translation(dialect)
    with translation:
        plan, options = _decide(dialect, arguments, parameters, login)
    waiting, handled = (_await, await_only(_handled())) if dialect.is_async else (None, None)
    return connect(
        plan, options, translation, lambda keywords: dialect.connect(*arguments, **keywords), waiting, handled=handled
    )


def _translation(dialect: Dialect) -> ErrorTranslation:
    # Programs read the attributes of the driver's own errors, such as `error.orig.pgcode`.
    driver: Any = dialect.dbapi
    return ErrorTranslation(
        lambda text: EntraOperationalError(text, driver.OperationalError(text)),
        lambda text: InsecureTransportOperationalError(text, driver.OperationalError(text)),
    )


def _await(entry: CredentialEntry, pending: PendingLogin, timeout: float) -> Login:
    # SQLAlchemy calls drivers from a greenlet of the event loop, where `await_only` lets other tasks run.
    return await_only(wait_async(entry, pending, timeout))


async def _handled() -> BaseException | None:
    """Return the exception that the task handles; the greenlet that calls the drivers cannot see it."""
    return sys.exc_info()[1]


def _decide(
    dialect: Dialect, arguments: list[Any], shared: dict[str, Any], login: EngineLogin
) -> tuple[ConnectionPlan, Options]:
    # Some versions of SQLAlchemy pass the same dictionary for every connection of the engine. The plugin's own
    # parameters are in it because they stay in the engine's URL.
    parameters = {name: value for name, value in shared.items() if not _url_rules.is_plugin_parameter(name)}
    _refuse_text(parameters)
    options = login.options.taken_from(parameters)
    if not login.is_from_url:
        return plan_for(dialect, arguments, parameters, options), options
    _url_rules.check_parameters(parameters, options, arguments)
    plan = plan_for(dialect, arguments, parameters.copy(), options)
    if _url_rules.needs_verification(plan, parameters):
        keyword, value = _VERIFY.get(dialect.driver, ("sslmode", "verify-full"))
        plan = plan_for(dialect, arguments, {**parameters, keyword: value}, options)
    _url_rules.check_target(plan)
    return plan, options


_VERIFY: Final[dict[str, tuple[str, Any]]] = {"asyncpg": ("ssl", "verify-full"), "pg8000": ("ssl_context", True)}


def _refuse_text(parameters: dict[str, Any]) -> None:
    """Refuse keywords that a URL may have set: SQLAlchemy passes its query together with `connect_args`."""
    if isinstance(parameters.get("allow_insecure_transport"), str):
        message = "allow_insecure_transport cannot be set in a URL; pass it to enable_entra_authentication"
        raise ValueError(message)  # noqa: TRY004 - the type is right for a URL
    scope = parameters.get("scope")
    if scope is not None and not is_database_scope(scope):
        message = (
            f"scope={scope!r} is not a scope of Azure Database for PostgreSQL; another one can only be passed to "
            f"enable_entra_authentication"
        )
        raise ValueError(message)


def plan_for(dialect: Dialect, arguments: list[Any], parameters: dict[str, Any], options: Options) -> ConnectionPlan:
    """Return the plan of a connection; `parameters` are the dialect's, from the engine's URL and arguments."""
    if dialect.driver == "pg8000":
        return _pg8000_plan(parameters, options)
    if dialect.driver == "asyncpg":
        from azure_postgresql_auth import asyncpg  # noqa: PLC0415 - the driver that is in use

        # The dialect passes libpq's parameters as keywords, but asyncpg accepts them only in a URL.
        query = {name: parameters.pop(name) for name in _LIBPQ_ONLY if name in parameters}
        if query:
            dsn = parameters.get("dsn") or "postgresql://"
            parameters["dsn"] = f"{dsn}{'&' if '?' in dsn else '?'}{urlencode(query)}"
        return asyncpg.plan_for(parameters.get("dsn"), parameters, options)
    # The connection string may also be in `connect_args`, under the driver's name for it.
    conninfo = arguments[0] if arguments else parameters.get("dsn" if dialect.driver == "psycopg2" else "conninfo")
    conninfo = conninfo if isinstance(conninfo, str) else ""
    if dialect.driver == "psycopg2":
        from azure_postgresql_auth import psycopg2  # noqa: PLC0415 - the driver that is in use

        return psycopg2.plan_for(psycopg2.parsed(conninfo), parameters, options)
    from azure_postgresql_auth import psycopg3  # noqa: PLC0415 - the driver that is in use

    return psycopg3.plan_for(psycopg3.parsed(conninfo), parameters, options)


def _pg8000_plan(parameters: dict[str, Any], options: Options) -> ConnectionPlan:
    context = parameters.get("ssl_context")
    sslmode = tls.sslmode_of(context)
    if parameters.get("unix_sock") is not None:
        # Then pg8000 connects to that, and the host is but a name.
        parameters["host"] = "localhost"
    is_opaque = parameters.get("sock") is not None or not isinstance(parameters.get("host", ""), str)
    plan = _PG8000.plan(
        parameters, {"sslmode": sslmode}, None, options.scope, options.allow_insecure_transport, is_opaque
    )
    decided = tls.pg8000_ssl(plan, context)
    if decided is not None:
        parameters["ssl_context"] = decided
    return plan
