"""Calling credential objects that are not ours, when the engine asks for a token.

A synchronous one is called on a thread of its own, so that no event loop is blocked and whoever waits can stop
waiting. An asynchronous one is awaited in a task of the caller's own event loop, to which its sessions belong.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable

from azure_postgresql_auth import _credentials
from azure_postgresql_auth.errors import CredentialValueError

if TYPE_CHECKING:
    from azure_postgresql_auth._core import Fetch


def is_asynchronous(method: Callable[..., Any]) -> bool:
    """Whether a credential's method has to be awaited."""
    return inspect.iscoroutinefunction(method)


def starter(reference: Callable[[], object | None], name: str) -> Callable[[Fetch, bool], None]:
    """What the engine calls when a token has to be asked for."""

    def start(fetch: Fetch, blocking: bool) -> None:  # noqa: FBT001 - called by Rust
        credential = reference()
        if credential is None:
            fetch.abandon()
            return
        method = getattr(credential, name)
        if is_asynchronous(method):
            if blocking:
                raise _credentials.needs_sync(credential)
            task = asyncio.get_running_loop().create_task(_fetch_async(fetch, method))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)
        elif blocking and _threads_are_greenlets():
            # A greenlet would never run while we wait for it with the whole thread.
            _fetch(fetch, method)
        else:
            context = contextvars.copy_context()
            thread = threading.Thread(
                target=context.run, args=(_fetch, fetch, method), name="azure-pg-auth-credential", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is ending and starts no more threads; a login from an atexit hook still works.
                if not blocking:
                    raise
                _fetch(fetch, method)

    return start


# The event loop itself holds tasks weakly.
_tasks: set[asyncio.Task[None]] = set()


def _fetch(fetch: Fetch, method: Callable[[str], Any]) -> None:
    try:
        token = method(fetch.scope)
        if inspect.isawaitable(token):
            if inspect.iscoroutine(token):
                token.close()
            _refuse_awaitable(method)
        _complete(fetch, token)
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it, and raises it
        fetch.fail(error)


async def _fetch_async(fetch: Fetch, method: Callable[[str], Any]) -> None:
    try:
        _complete(fetch, await method(fetch.scope))
    except asyncio.CancelledError:
        # This loop ends; those who wait on another one ask again.
        fetch.abandon()
        raise
    except Exception as error:  # noqa: BLE001 - whoever waits gets it, and raises it
        fetch.fail(error)


def _complete(fetch: Fetch, token: Any) -> None:
    refresh_on = getattr(token, "refresh_on", None)
    fetch.complete(token.token, float(token.expires_on), None if refresh_on is None else float(refresh_on))


def _refuse_awaitable(method: Callable[[str], Any]) -> None:
    message = (
        f"credential is required to be recognizable as asynchronous: {getattr(method, '__qualname__', method)} is no "
        f"coroutine function, but returned something to await; define it with `async def`"
    )
    raise CredentialValueError(message)


def _threads_are_greenlets() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
