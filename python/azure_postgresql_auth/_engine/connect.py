"""Connect with a login, for all drivers.

A driver module passes the plan of a connection and a function that connects; the function is called with the arguments
that follow from the plan. If the server refuses a cached token (it was revoked, or the role was assigned to another
identity), a new token is fetched and tried once. The caller's timeout for connecting includes the wait for a token and
both attempts.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

from azure_postgresql_auth._core import PendingLogin
from azure_postgresql_auth._engine import log, registry
from azure_postgresql_auth._engine.external import text_of
from azure_postgresql_auth._engine.refusal import explain, is_refusal
from azure_postgresql_auth._engine.waiting import DEFAULT_TIMEOUT, wait, wait_async
from azure_postgresql_auth._redacted import removed, without_frames
from azure_postgresql_auth.errors import (
    CredentialValueError,
    EntraConnectionValueError,
    ErrorReport,
    InsecureTransportError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from types import TracebackType
    from typing import Final, Union

    from azure_postgresql_auth._core import ConnectionPlan, Login
    from azure_postgresql_auth._engine.registry import CredentialEntry

Connection = TypeVar("Connection")

_NOTICEABLE = 0.1
"""Seconds; less than this does not reduce a timeout."""


class Options:
    """The keywords of this package that every `connect` takes."""

    # Not a named tuple, whose `repr` would show the credential in error reports.
    __slots__ = ("allow_insecure_transport", "credential", "scope")

    def __init__(
        self,
        credential: object = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,  # noqa: FBT001, FBT002 - positional for speed
    ) -> None:
        self.credential = credential
        self.scope = scope
        self.allow_insecure_transport = allow_insecure_transport

    def taken_from(self, keywords: dict[str, Any]) -> Options:
        """Remove the options from a driver's keywords and return them; missing ones have the values of this object."""
        # Unrolled, because a loop over the names takes four times as long.
        return Options(
            keywords.pop("credential", self.credential),
            keywords.pop("scope", self.scope),
            keywords.pop("allow_insecure_transport", self.allow_insecure_transport),
        )


NO_OPTIONS: Final = Options()


if TYPE_CHECKING:
    # Yields the steps of a login: waits (with a timeout in seconds), and attempts to connect with these arguments. The
    # results are sent to the generator.
    LoginGenerator = Generator[Union[tuple[CredentialEntry, PendingLogin, float], dict[str, Any]], Any, Connection]


def connect(  # noqa: PLR0913 - each driver needs some of them
    plan: ConnectionPlan,
    options: Options,
    translation: ErrorTranslation,
    attempt: Callable[[dict[str, Any]], Connection],
    waiting: Callable[[CredentialEntry, PendingLogin, float], Login] | None = None,
    *,
    tries: int = 2,
    handled: BaseException | None = None,
) -> Connection:
    """Connect, obtaining the user and the password that the caller has not given.

    Args:
        plan: the plan of the connection.
        options: this package's keywords.
        translation: translates this package's errors into the driver's.
        attempt: connects with the arguments that it is given; may be called twice.
        waiting: waits for a login on an event loop; by default the thread waits.
        tries: 1 to not retry with a new token when the server refuses a cached one.
        handled: the exception that the caller is handling, if `sys.exc_info` does not return it here.
    """
    generator = _login_generator(plan, options, translation, blocking=waiting is None, tries=tries)
    arguments: dict[str, Any] | None = None
    handled = handled or sys.exc_info()[1]
    try:
        step = next(generator)
        while True:
            try:
                if isinstance(step, tuple):
                    outcome: Any = (waiting or wait)(*step)
                else:
                    arguments = step
                    outcome = attempt(step)
            except BaseException as error:  # noqa: BLE001, PERF203 - the generator raises it again
                step = generator.throw(error)
            else:
                step = generator.send(outcome)
    except StopIteration as end:
        connection: Connection = end.value
        return connection
    except BaseException as error:
        if arguments is not None:
            # The driver's frames hold the token. Removed here, because a timeout can interrupt any line above.
            without_frames(error, arguments.get("password"), handled)
            del step, arguments  # this frame stays
            raise error  # noqa: TRY201 - before Python 3.11, `raise` alone brings the frames back
        raise


async def connect_async(
    plan: ConnectionPlan,
    options: Options,
    translation: ErrorTranslation,
    attempt: Callable[[dict[str, Any]], Awaitable[Connection]],
) -> Connection:
    """Connect as `connect` does, on an event loop."""
    generator = _login_generator(plan, options, translation, blocking=False)
    arguments: dict[str, Any] | None = None
    handled = sys.exc_info()[1]
    try:
        step = next(generator)
        while True:
            try:
                if isinstance(step, tuple):
                    outcome: Any = await wait_async(*step)
                else:
                    arguments = step
                    outcome = await attempt(step)
            except BaseException as error:  # noqa: BLE001, PERF203 - the generator raises it again
                step = generator.throw(error)
            else:
                step = generator.send(outcome)
    except StopIteration as end:
        connection: Connection = end.value
        return connection
    except BaseException as error:
        if arguments is not None:
            without_frames(error, arguments.get("password"), handled)
            del step, arguments
            raise error  # noqa: TRY201 - see above
        raise


def _login_generator(
    plan: ConnectionPlan, options: Options, translation: ErrorTranslation, *, blocking: bool, tries: int = 2
) -> LoginGenerator[Any]:
    """Yield the steps of a login; `connect` and `connect_async` perform them."""
    if plan.has_credentials:
        return (yield plan.arguments())
    with translation:
        clock = _Clock(plan)
        entry, found = registry.start(options.credential, plan.scope, plan.user_known, blocking=blocking)
        login: Login = (yield entry, found, clock.left) if isinstance(found, PendingLogin) else found
    try:
        return (yield clock.arguments(login))
    except Exception as error:
        if not is_refusal(error):
            from azure_postgresql_auth._engine.outage import locate  # noqa: PLC0415 - for failures only

            locate(error, plan)
            raise
        other = None
        if tries > 1 and not getattr(found, "waited", False):
            again = entry.provider.login_instead_of(plan.scope, plan.user_known, login.password)
            # If no new token can be obtained, the reason is in the log; the caller gets the server's refusal.
            with contextlib.suppress(Exception):
                other = yield entry, again, clock.left
        if other is None or other.password == login.password:
            # A credential with its own cache returns the same token, which the server has already refused.
            explain(error, plan.user or login.user, login.password)
            raise
        words = removed(login.password, str(error))
        log.warn(f"the server refused a cached token for {plan.scope}; trying once more with a new one: {words}")
    try:
        connection = yield clock.arguments(other)
    except Exception as error:
        if is_refusal(error):
            explain(error, plan.user or other.user, other.password)
        raise
    accepted(plan, options)
    return connection


def accepted(plan: ConnectionPlan, options: Options) -> None:
    """Record that the server accepted the second token, so that a later refusal is retried again."""
    registry.resolve(options.credential).provider.accepted(plan.scope)


class _Clock:
    """The time that is left of the caller's timeout."""

    __slots__ = ("_begun", "_plan", "_timeout")

    def __init__(self, plan: ConnectionPlan) -> None:
        self._plan = plan
        self._timeout = plan.timeout
        self._begun = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds that obtaining a token may still take; the caller's own figure, which errors name, if possible."""
        timeout, spent = self._timeout or DEFAULT_TIMEOUT, time.monotonic() - self._begun
        return max(timeout - spent, 0.0) if spent >= _NOTICEABLE else timeout

    def arguments(self, login: Login) -> dict[str, Any]:
        """Return the driver's arguments, with the remaining timeout if the wait for the token was noticeable."""
        spent = time.monotonic() - self._begun
        if spent >= _NOTICEABLE and self._timeout is not None:
            return self._plan.arguments(login, max(self._timeout - spent, _NOTICEABLE))
        return self._plan.arguments(login)


def restore_error(
    kind: type[EntraConnectionValueError], args: tuple[Any, ...], report: ErrorReport
) -> EntraConnectionValueError:
    """Return an error that was pickled or copied, for drivers whose own way loses the report."""
    error = kind(*args)
    error.report = report
    return error


class ErrorTranslation:
    """A context manager that translates the errors of a login into the driver's connection errors.

    Args:
        operational: creates an `EntraConnectionValueError` that is also the driver's `OperationalError`.
        insecure: creates an `InsecureTransportError` that is also the driver's `OperationalError`.
    """

    # Not `contextlib.contextmanager`, which takes four times as long.
    __slots__ = ("_insecure", "_operational")

    def __init__(
        self,
        operational: Callable[[str], EntraConnectionValueError],
        insecure: Callable[[str], InsecureTransportError],
    ) -> None:
        self._operational = operational
        self._insecure = insecure

    def __enter__(self) -> None:
        """Do nothing; the work is in `__exit__`."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or not isinstance(error, Exception) or isinstance(error, CredentialValueError):
            return
        # The plan raises a `ValueError` for an invalid argument, which has a report, too.
        report: ErrorReport | None = getattr(error, "report", None)
        if not isinstance(report, ErrorReport):
            report = None
        raised: EntraConnectionValueError
        if isinstance(error, InsecureTransportError):
            raised = self._insecure(str(error))
        elif isinstance(error, EntraConnectionValueError):
            raised = self._operational(str(error))
        else:
            cause = text_of(error) or type(error).__name__
            reasons = [cause, *getattr(error, "__notes__", ())]
            raised = self._operational("Could not retrieve Entra credentials: " + "\n".join(reasons))
            report = report or ErrorReport("credential_raised", cause)
        if report is not None:
            raised.report = report
        try:
            raise raised from error
        finally:
            # The traceback refers to this frame: the two would keep each other, and the frames of the login.
            del raised
