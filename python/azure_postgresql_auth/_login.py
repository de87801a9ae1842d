"""A login as all drivers ask for it: what the caller passes to us, and what comes back for the driver.

A driver hands over how it connects, and is called with the parameters that it lacks. Where the server refuses a token
that came from the cache (it was revoked, or the role was given to another identity), a new one is fetched and tried,
once. What the caller allows for connecting holds for all of it: the wait for a token and both tries.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from azure_postgresql_auth import _credentials, _log, core
from azure_postgresql_auth._core import PendingLogin
from azure_postgresql_auth._foreign import needs_sync
from azure_postgresql_auth._refusal import is_refusal
from azure_postgresql_auth._waiting import wait, wait_async
from azure_postgresql_auth.errors import (
    CredentialValueError,
    EntraConnectionValueError,
    InsecureTransportError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from types import TracebackType
    from typing import Final, Union

    from azure_postgresql_auth._core import Login, Said
    from azure_postgresql_auth._credentials import Adopted

Connection = TypeVar("Connection")

_NOTICEABLE = 0.1
"""Seconds; a token that took less to come does not shorten what the driver is allowed."""


class Options:
    """The keywords of ours that every `connect` takes."""

    # A named tuple would take longer to make than the rest of this module.
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


class Terms:
    """What is a driver's own about a login.

    Args:
        failing: makes whatever keeps a login from being had an error of the driver's.
        limit: the driver's parameter that says how many seconds connecting may take.
        timeout: its own default, in seconds.
    """

    __slots__ = ("failing", "limit", "timeout")

    def __init__(
        self,
        failing: Failing,
        limit: Callable[[float], dict[str, Any]],
        timeout: float | None = None,
    ) -> None:
        self.failing = failing
        self.limit = limit
        self.timeout = timeout


if TYPE_CHECKING:
    # What a login has to be done for: waits (for how many seconds at most), and attempts to connect with such
    # parameters; their outcomes are sent in.
    Steps = Generator[Union[tuple[Adopted, PendingLogin, float], dict[str, Any]], Any, Connection]


def connect(
    said: Said,
    options: Options,
    terms: Terms,
    attempt: Callable[[dict[str, Any]], Connection],
    waiting: Callable[[Adopted, PendingLogin, float], Login] | None = None,
) -> Connection:
    """Connects with the user and password that the caller has not given.

    Args:
        said: what the caller said.
        options: the keywords of ours.
        terms: the driver's.
        attempt: connects with these parameters more than the caller's; may be called twice.
        waiting: waits on an event loop; by default the thread waits.
    """
    steps = _steps(said, options, terms, blocking=waiting is None)
    try:
        step = next(steps)
        while True:
            try:
                outcome = (waiting or wait)(*step) if isinstance(step, tuple) else attempt(step)
            except BaseException as error:  # noqa: BLE001, PERF203 - the steps raise it again
                step = steps.throw(error)
            else:
                step = steps.send(outcome)
    except StopIteration as end:
        connection: Connection = end.value
        return connection


async def connect_async(
    said: Said, options: Options, terms: Terms, attempt: Callable[[dict[str, Any]], Awaitable[Connection]]
) -> Connection:
    """`connect` on an event loop."""
    steps = _steps(said, options, terms, blocking=False)
    try:
        step = next(steps)
        while True:
            try:
                outcome = await (wait_async(*step) if isinstance(step, tuple) else attempt(step))
            except BaseException as error:  # noqa: BLE001, PERF203 - the steps raise it again
                step = steps.throw(error)
            else:
                step = steps.send(outcome)
    except StopIteration as end:
        connection: Connection = end.value
        return connection


def _steps(said: Said, options: Options, terms: Terms, *, blocking: bool) -> Steps[Any]:
    """The way of a login, for whoever can wait and connect."""
    if said.complete:
        return (yield {})
    with terms.failing:
        adopted = _credentials.adopt(options.credential)
        if blocking and adopted.asynchronous:
            raise needs_sync(options.credential)
        clock = _Clock(said.timeout or terms.timeout)
        scope, user_known = options.scope or said.scope, said.user is not None
        found = adopted.provider.login(scope, user_known)
        adopted.make_fetches(blocking=blocking)
        login: Login = (yield adopted, found, clock.left) if isinstance(found, PendingLogin) else found
    try:
        return (yield clock.parameters(login, terms))
    except Exception as error:
        if getattr(found, "waited", False) or not is_refusal(error):
            raise
        again = adopted.provider.login_instead_of(scope, user_known, login.password)
        try:
            other: Login = yield adopted, again, clock.left
        except Exception:  # noqa: BLE001 - the refusal is what the caller has to hear of; this one has been logged
            raise error from None
        if other.password == login.password:
            # Out of a cache of the credential's own; the server has said what it thinks of it.
            raise
        _log.warn(f"the server refused a cached token for {scope}; trying once more with a new one: {error}")
    connection = yield clock.parameters(other, terms)
    accepted(said, options)
    return connection


def accepted(said: Said, options: Options) -> None:
    """The server took the second token: its next refusal is another story."""
    _credentials.adopt(options.credential).provider.accepted(options.scope or said.scope)


class _Clock:
    """How much of the caller's time is left."""

    __slots__ = ("_begun", "_timeout")

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._begun = time.monotonic()

    @property
    def left(self) -> float:
        """For a token."""
        return max((self._timeout or core.DEFAULT_TIMEOUT) - (time.monotonic() - self._begun), 0.0)

    def parameters(self, login: Login, terms: Terms) -> dict[str, Any]:
        """For the driver; without a limit where the one that it knows of will do."""
        parameters = login.parameters()
        spent = time.monotonic() - self._begun
        if spent >= _NOTICEABLE and self._timeout is not None:
            parameters.update(terms.limit(max(self._timeout - spent, _NOTICEABLE)))
        return parameters


def libpq_limit(seconds: float) -> dict[str, Any]:
    """`connect_timeout`, which libpq has in whole seconds."""
    return {"connect_timeout": max(1, round(seconds))}


def plain_limit(seconds: float) -> dict[str, Any]:
    """`timeout`, as asyncpg and pg8000 call it."""
    return {"timeout": seconds}


class Failing:
    """Makes whatever keeps a login from being had a failed connection in a driver's own terms; to be used by `with`.

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
        if isinstance(error, InsecureTransportError):
            raise self._insecure(str(error)) from error
        if isinstance(error, EntraConnectionValueError):
            raise self._operational(str(error)) from error
        told = [str(error) or type(error).__name__, *getattr(error, "__notes__", ())]
        message = "Could not retrieve Entra credentials: " + "\n".join(told)
        raise self._operational(message) from error
