"""A login as all drivers ask for it: what the caller passes to us, and what comes back for the driver.

A driver hands over the plan of a connection and a way to connect, which is called with the arguments that follow from
it. Where the server refuses a token that came from the cache (it was revoked, or the role was given to another
identity), a new one is fetched and tried, once. What the caller allows for connecting holds for all of it: the wait for
a token and both tries.
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
from azure_postgresql_auth._redacted import without_frames
from azure_postgresql_auth.errors import (
    AzurePgEntraError,
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
"""Seconds; a token that took less to come does not shorten what the driver is allowed."""


class Options:
    """The keywords of ours that every `connect` takes."""

    # Not a named tuple, whose `repr` shows the credential to what collects local variables.
    __slots__ = ("allow_insecure_transport", "credential", "scope")

    def __init__(
        self,
        credential: object = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,  # noqa: FBT001, FBT002 - as it is called
    ) -> None:
        self.credential = credential
        self.scope = scope
        self.allow_insecure_transport = allow_insecure_transport

    def taken_from(self, keywords: dict[str, Any]) -> Options:
        """Takes them out of a driver's keywords; those that are not there are as here."""
        # Not by their names in a loop: that takes four times as long.
        return Options(
            keywords.pop("credential", self.credential),
            keywords.pop("scope", self.scope),
            keywords.pop("allow_insecure_transport", self.allow_insecure_transport),
        )


NO_OPTIONS: Final = Options()


class Traits:
    """What is a driver's own about a login.

    Args:
        translating: turns our errors into those of the driver.
        timeout: the driver's own default limit for connecting, in seconds.
    """

    __slots__ = ("timeout", "translating")

    def __init__(self, translating: ErrorTranslation, timeout: float | None = None) -> None:
        self.translating = translating
        self.timeout = timeout


if TYPE_CHECKING:
    # What a login has to be done for: waits (for how many seconds at most), and attempts to connect with such
    # arguments; their outcomes are sent in.
    LoginGenerator = Generator[Union[tuple[CredentialEntry, PendingLogin, float], dict[str, Any]], Any, Connection]


def connect(  # noqa: PLR0913 - each driver needs some
    plan: ConnectionPlan,
    options: Options,
    traits: Traits,
    attempt: Callable[[dict[str, Any]], Connection],
    waiting: Callable[[CredentialEntry, PendingLogin, float], Login] | None = None,
    *,
    tries: int = 2,
    handled: BaseException | None = None,
) -> Connection:
    """Connect with the user and password that the caller has not given.

    Args:
        plan: what was decided about the connection.
        options: the keywords of ours.
        traits: the driver's.
        attempt: connects with these arguments; may be called twice.
        waiting: waits on an event loop; by default the thread waits.
        tries: with 1, a refused token is not tried again with a new one.
        handled: the exception that the caller handles meanwhile, where `sys.exc_info` does not tell.
    """
    generator = _login_generator(plan, options, traits, blocking=waiting is None, tries=tries)
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
            # The driver's frames hold the token. Here and not sooner, for a time limit can strike at any line above.
            without_frames(error, arguments.get("password"), handled)
        raise


async def connect_async(
    plan: ConnectionPlan, options: Options, traits: Traits, attempt: Callable[[dict[str, Any]], Awaitable[Connection]]
) -> Connection:
    """`connect` on an event loop."""
    generator = _login_generator(plan, options, traits, blocking=False)
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
        raise


def _login_generator(
    plan: ConnectionPlan, options: Options, traits: Traits, *, blocking: bool, tries: int = 2
) -> LoginGenerator[Any]:
    """The way of a login, for whoever can wait and connect."""
    if plan.has_credentials:
        return (yield plan.arguments())
    with traits.translating:
        clock = _Clock(plan, traits)
        entry, found = registry.start(options.credential, plan.scope, plan.user_known, blocking=blocking)
        login: Login = (yield entry, found, clock.left) if isinstance(found, PendingLogin) else found
    try:
        return (yield clock.arguments(login))
    except Exception as error:
        if not is_refusal(error):
            raise
        other = None
        if tries > 1 and not getattr(found, "waited", False):
            again = entry.provider.login_instead_of(plan.scope, plan.user_known, login.password)
            # Why there is none has been logged; the refusal is what the caller has to hear of.
            with contextlib.suppress(Exception):
                other = yield entry, again, clock.left
        if other is None or other.password == login.password:
            # The same comes out of a cache of the credential's own; the server has said what it thinks of it.
            explain(error, plan.user or login.user, login.password)
            raise
        log.warn(f"the server refused a cached token for {plan.scope}; trying once more with a new one: {error}")
    try:
        connection = yield clock.arguments(other)
    except Exception as error:
        if is_refusal(error):
            explain(error, plan.user or other.user, other.password)
        raise
    accepted(plan, options)
    return connection


def accepted(plan: ConnectionPlan, options: Options) -> None:
    """The server took the second token: its next refusal is another story."""
    registry.resolve(options.credential).provider.accepted(plan.scope)


class _Clock:
    """How much of the caller's time is left."""

    __slots__ = ("_begun", "_plan", "_timeout")

    def __init__(self, plan: ConnectionPlan, traits: Traits) -> None:
        self._plan = plan
        self._timeout = plan.timeout or traits.timeout
        self._begun = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds for a token."""
        return max((self._timeout or DEFAULT_TIMEOUT) - (time.monotonic() - self._begun), 0.0)

    def arguments(self, login: Login) -> dict[str, Any]:
        """For the driver; without a limit where the one that it knows of will do."""
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
    """Turn whatever prevents a login into a failed connection in a driver's own terms; to be used by `with`.

    Args:
        operational: makes an error that is the driver's `OperationalError` as well.
        insecure: the same for `InsecureTransportError`.
    """

    # No generator under `contextlib.contextmanager`: it costs four times as much.
    __slots__ = ("_insecure", "_operational")

    def __init__(
        self,
        operational: Callable[[str], EntraConnectionValueError],
        insecure: Callable[[str], InsecureTransportError],
    ) -> None:
        self._operational = operational
        self._insecure = insecure

    def __enter__(self) -> None:
        """Nothing is begun."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or not isinstance(error, Exception) or isinstance(error, CredentialValueError):
            return
        report = error.report if isinstance(error, AzurePgEntraError) else None
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
        raise raised from error
