"""A login as all drivers ask for it: what the caller passes to us, and what comes back for the driver."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from azure_postgresql_auth import core
from azure_postgresql_auth._core import scope_for
from azure_postgresql_auth.errors import (
    CredentialValueError,
    EntraConnectionValueError,
    InsecureTransportError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from azure_postgresql_auth._core import Login
    from azure_postgresql_auth._params import Said


class Options(NamedTuple):
    """The keywords of ours that every `connect` takes."""

    credential: object = None
    scope: str | None = None
    allow_insecure_transport: bool = False

    @classmethod
    def taken_from(cls, keywords: dict[str, Any]) -> Options:
        """Takes them out of a driver's keywords."""
        return cls(**{name: keywords.pop(name) for name in cls._fields if name in keywords})


def user_and_password(said: Said, options: Options) -> dict[str, str]:
    """What a connection lacks; waits for it. Nothing if the caller said both."""
    if said.complete:
        return {}
    return _filled(core.login(options.credential, **_arguments(said, options)))


async def user_and_password_async(said: Said, options: Options) -> dict[str, str]:
    """`user_and_password` on an event loop."""
    if said.complete:
        return {}
    return _filled(await core.login_async(options.credential, **_arguments(said, options)))


def _arguments(said: Said, options: Options) -> dict[str, Any]:
    return {
        "scope": options.scope or scope_for(said.hosts),
        "user_known": said.user is not None,
        "timeout": said.timeout or core.DEFAULT_TIMEOUT,
    }


def _filled(login: Login) -> dict[str, str]:
    password = {"password": login.password}
    return password if login.user is None else {"user": login.user, **password}


@contextmanager
def failing_as(
    operational: Callable[[str], EntraConnectionValueError], insecure: Callable[[str], InsecureTransportError]
) -> Iterator[None]:
    """Makes whatever keeps a login from being had a failed connection in a driver's own terms.

    Args:
        operational: makes an error that is the driver's `OperationalError` as well.
        insecure: the same for `InsecureTransportError`.
    """
    try:
        yield
    except CredentialValueError:
        raise
    except InsecureTransportError as error:
        raise insecure(str(error)) from error
    except EntraConnectionValueError as error:
        raise operational(str(error)) from error
    except Exception as error:
        message = f"Could not retrieve Entra credentials: {str(error) or type(error).__name__}"
        raise operational(message) from error
