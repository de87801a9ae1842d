"""Call external credential objects when the engine needs a token.

A synchronous credential is called in a thread of its own, so that it does not block an event loop and the caller can
stop waiting. An asynchronous one is awaited in a task of the caller's event loop, to which its sessions belong.

All imports are at the top of the module, except for asyncio, which is imported only where a loop runs. If a process
forks while another thread imports a module, the child inherits an import lock that is never released.
"""

from __future__ import annotations

import contextvars
import functools
import os
import sys
import threading

from azure_postgresql_auth.errors import CredentialValueError

TYPE_CHECKING = False  # see "Start-up" in docs/architecture.md
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from typing import Any, Callable, Final

    from azure_postgresql_auth._core import Fetch, TokenProvider

_CO_COROUTINE: Final = 0x80
"""`inspect.CO_COROUTINE`; importing inspect takes longer than a login."""


def is_asynchronous(method: Any) -> bool:
    """Return whether a credential's method is a coroutine function, possibly wrapped."""
    while hasattr(type(method), "func"):  # functools.partial
        method = method.func
    for candidate in (method, getattr(type(method), "__call__", None)):  # noqa: B004 - its code is inspected
        function = getattr(candidate, "__func__", candidate)
        flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
        if isinstance(flags, int) and flags & _CO_COROUTINE:
            return True
    return False


def needs_sync(credential: object) -> CredentialValueError:
    """Return the error for an asynchronous credential in synchronous code."""
    kind = type(credential)
    return CredentialValueError(
        f"credential is required to be synchronous here: {kind.__module__}.{kind.__qualname__} is asynchronous. Pass "
        f"the synchronous class of the same name, or one of azure_postgresql_auth.identity, which serve both"
    )


# The fetches that this context makes, outermost first, each with its process and its tokens: a child that is forked in
# the middle of one makes its own.
_under_way: Final[contextvars.ContextVar[tuple[tuple[int, TokenProvider, Fetch], ...]]] = contextvars.ContextVar(
    "azure_postgresql_auth_under_way", default=()
)


def _enter(provider: TokenProvider, fetch: Fetch) -> None:
    _under_way.set((*_under_way.get(), (os.getpid(), provider, fetch)))


def refuse_recursion(provider: TokenProvider, scope: str) -> None:
    """Check that a wait is not for a fetch that cannot end before the wait does.

    Raises:
        CredentialValueError: the credential's own method waits.
    """
    for process, of, fetch in _under_way.get():
        if of is provider and process == os.getpid() and fetch.is_for(scope):
            message = (
                "credential is required to obtain its tokens without a login with itself: the login and the "
                "credential's method would wait for each other"
            )
            raise CredentialValueError(message)


class ExternalFetcher:
    """Makes the fetches of an external credential object by calling it.

    Args:
        provider: the credential's tokens.
        reference: returns the credential object, or None once it is gone.
        name: name of the credential's method.
        wanted: keywords for the method.
    """

    __slots__ = ("_name", "_provider", "_reference", "_wanted")

    def __init__(
        self,
        provider: TokenProvider,
        reference: Callable[[], object | None],
        name: str,
        wanted: Mapping[str, str | None] | None = None,
    ) -> None:
        self._provider = provider
        self._reference = reference
        self._name = name
        self._wanted = wanted or {}

    def narrowed(self, provider: TokenProvider, **wanted: str | None) -> ExternalFetcher:
        """Return the same for the fetches of another provider, with these keywords for the method."""
        return type(self)(provider, self._reference, self._name, wanted)

    def make(self, *, blocking: bool) -> None:
        """Start the fetches that the engine has queued.

        Args:
            blocking: the caller's thread is going to wait for the result.
        """
        if _tasks:
            _sweep()
        for fetch in self._provider.take_fetches():
            try:
                work = self._prepare(fetch, blocking=blocking)
            except Exception as error:  # noqa: BLE001, PERF203 - raised by the callers that wait
                _fail(fetch, error)
            except BaseException:
                fetch.abandon()
                raise
            else:
                if work is not None:
                    answer = functools.partial(_answer, self._provider, work)
                    in_thread("azure-pg-auth-credential", answer, fetch, _fail, blocking=blocking)

    def _prepare(self, fetch: Fetch, *, blocking: bool) -> Callable[[], None] | None:
        """Return what a thread has to do, or start a task and return None."""
        credential = self._reference()
        if credential is None:
            fetch.abandon()
            return None
        method, wanted = getattr(credential, self._name), self._wanted
        if not is_asynchronous(method):
            return lambda: _fetch(fetch, method, wanted)
        if blocking:
            raise needs_sync(credential)
        # Already imported, because an event loop is running.
        from asyncio import get_running_loop  # noqa: PLC0415

        task = get_running_loop().create_task(_fetch_async(self._provider, fetch, method, wanted))
        _tasks[task] = fetch
        task.add_done_callback(_ended)
        return None


class AssertionFetcher(ExternalFetcher):
    """Calls a credential's function for an assertion, which the engine exchanges for a token."""

    __slots__ = ()

    def _prepare(self, fetch: Fetch, *, blocking: bool) -> Callable[[], None] | None:  # noqa: ARG002 - never awaits
        credential: Any = self._reference()
        if credential is None:
            fetch.abandon()
            return None
        method, wanted = getattr(credential, self._name), self._wanted
        return lambda: method(fetch, **wanted)


def in_thread(
    name: str,
    answer: Callable[[Fetch], None],
    fetch: Fetch,
    refuse: Callable[[Fetch, RuntimeError], None],
    *,
    blocking: bool,
) -> None:
    """Answer a fetch in a thread of its own.

    Args:
        name: the thread's.
        answer: answers it; raises nothing.
        refuse: answers it if no thread can be started and the caller's must not be blocked.
        blocking: the caller's thread is going to wait for the result.
    """
    run = contextvars.copy_context().run
    try:
        _start(threading.Thread(target=run, args=(answer, fetch), name=name, daemon=True))
    except RuntimeError as error:
        # No thread can be started, for example while the interpreter shuts down. A login in an atexit hook still works.
        if blocking:
            run(answer, fetch)
        else:
            refuse(fetch, error)
    except BaseException:
        # A signal handler of the program raised it, for this caller alone.
        fetch.abandon()
        raise


def _start(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        RuntimeError: none can be started.
    """
    if sys.is_finalizing():
        # Before Python 3.12, `start` would wait for it forever: no other thread gets the GIL any more.
        message = "can't create new thread at interpreter shutdown"
        raise RuntimeError(message)
    thread.start()


def _fail(fetch: Fetch, error: BaseException) -> None:
    fetch.fail(error, words(error))


# The fetch of each task; the dictionary also keeps the tasks alive, to which event loops have only weak references.
_tasks: dict[asyncio.Task[None], Fetch] = {}


def _ended(task: asyncio.Task[None]) -> None:
    _tasks.pop(task, None)


def _sweep() -> None:
    """Abandon the fetches of event loops that are not running, so that other callers make them.

    Such a loop was closed before its task ended, or it runs only at times (`run_until_complete`).
    """
    for task, fetch in list(_tasks.items()):
        if not task.get_loop().is_running() and _tasks.pop(task, None) is not None:
            fetch.abandon()


def _fetch(fetch: Fetch, method: Callable[..., Any], wanted: Mapping[str, str | None]) -> None:
    token = method(fetch.scope, **wanted)
    if hasattr(token, "__await__"):
        if hasattr(token, "close"):
            token.close()
        raise _unrecognizable(method)
    complete(fetch, token)


def _answer(provider: TokenProvider, work: Callable[[], None], fetch: Fetch) -> None:
    _enter(provider, fetch)
    try:
        work()
    except Exception as error:  # noqa: BLE001 - raised by the callers that wait
        _fail(fetch, error)
    except BaseException as error:  # noqa: BLE001 - it would only end this thread, while others wait
        ended = RuntimeError(f"the credential raised {words(error)}")
        fetch.fail(ended, str(ended))


async def _fetch_async(
    provider: TokenProvider, fetch: Fetch, method: Callable[..., Any], wanted: Mapping[str, str | None]
) -> None:
    _enter(provider, fetch)
    try:
        complete(fetch, await method(fetch.scope, **wanted))
    except Exception as error:  # noqa: BLE001 - raised by the callers that wait
        _fail(fetch, error)
    except BaseException:
        # Cancelled, because this loop ends. Callers on other loops make the fetch again.
        fetch.abandon()
        raise


def complete(fetch: Fetch, token: Any) -> None:
    """Complete a fetch with the token that a credential object returned.

    Raises:
        TypeError: it is not an access token.
    """
    try:
        secret, expires_on = token.token, float(token.expires_on)
        # A mock has every attribute and is any number.
        str.encode(secret)
    except (AttributeError, TypeError, ValueError, OverflowError):
        # `from None`, because the error may contain the token.
        message = (
            f"the credential returned {type(token).__name__}, which is not an access token: expected an object with a "
            f"text `token` and a number `expires_on`, as azure-core's AccessToken"
        )
        raise TypeError(message) from None
    try:
        refresh_on: float | None = float(token.refresh_on)
    except (AttributeError, TypeError, ValueError, OverflowError):
        # The attribute is optional.
        refresh_on = None
    fetch.complete(secret, expires_on, refresh_on)


def _unrecognizable(method: Callable[..., Any]) -> CredentialValueError:
    return CredentialValueError(
        f"credential is required to be recognizable as asynchronous: {getattr(method, '__qualname__', method)} is no "
        f"coroutine function, but returned something to await; define it with `async def`"
    )


def text_of(error: BaseException) -> str:
    """Return the text of any exception, encodable as UTF-8; never raise."""
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()
    except BaseException as unprintable:  # noqa: BLE001 - `__str__` can raise anything
        return f"(its text is not available: __str__ raised {type(unprintable).__name__})"


def words(error: BaseException) -> str:
    """Return the class name and the text of an exception."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
