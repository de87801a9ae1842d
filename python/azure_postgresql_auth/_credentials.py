"""Credential objects of any origin, and the tokens that they gave.

Whatever has azure-core's shape is taken, without importing azure-core: `get_token(scope)` or `get_token_info(scope)`,
plain or a coroutine function. Tokens are kept per object, for as long as the object lives.
"""

from __future__ import annotations

import weakref

from azure_postgresql_auth._core import TokenProvider, scope_for
from azure_postgresql_auth.errors import CredentialValueError

TYPE_CHECKING = False  # typing's own costs milliseconds of start-up
if TYPE_CHECKING:
    from typing import Callable


class Adopted:
    """A credential's tokens, and what kind of code can have them."""

    __slots__ = ("asynchronous", "provider", "scope")

    def __init__(self, provider: TokenProvider, *, asynchronous: bool = False) -> None:
        self.provider = provider
        self.asynchronous = asynchronous
        self.scope = scope_for(())
        """For who names neither a scope nor a host; settled here, for looking it up costs more than a login."""


# By id: credentials need not be hashable, and may be equal without being the same.
_adopted: dict[int, tuple[Callable[[], object | None], Adopted]] = {}


def adopt(credential: object) -> Adopted:
    """The tokens of `credential`; of the default credential for None.

    Raises:
        CredentialValueError: it has not the shape of a credential.
    """
    known = _adopted.get(id(credential))
    if known is not None and known[0]() is credential:
        return known[1]
    if credential is None:
        # One default credential per process is what shares its tokens.
        adopted = Adopted(TokenProvider.default_chain(exclude=()))
        _adopted[id(None)] = (lambda: None, adopted)
        return adopted
    return _adopt_foreign(credential)


def keep(credential: object, adopted: Adopted) -> None:
    """Remembers the tokens of `credential` for as long as it lives.

    Raises:
        TypeError: it cannot be held weakly.
    """
    key = id(credential)
    _adopted[key] = (weakref.ref(credential, lambda _: _adopted.pop(key, None)), adopted)


def _adopt_foreign(credential: object) -> Adopted:
    # Looked up on the class first: a mock has every attribute, and get_token is what everybody implements.
    name = "get_token_info" if callable(getattr(type(credential), "get_token_info", None)) else "get_token"
    method = getattr(credential, name, None)
    if isinstance(credential, type) or not callable(method):
        kind = f"the class {credential.__name__}" if isinstance(credential, type) else type(credential).__name__
        message = (
            f"credential is required to have a get_token method, as those of azure_postgresql_auth.identity and "
            f"azure.identity have; got {kind}"
        )
        raise CredentialValueError(message)
    # Imported here: what calling them takes (asyncio, threading, inspect) is for those who pass such objects.
    from azure_postgresql_auth._foreign import is_asynchronous, starter  # noqa: PLC0415

    asynchronous = is_asynchronous(method)
    try:
        adopted = Adopted(TokenProvider.python(starter(weakref.ref(credential), name)), asynchronous=asynchronous)
        keep(credential, adopted)
    except TypeError:
        # It cannot be held weakly (slots): its tokens are not kept beyond this login.
        adopted = Adopted(TokenProvider.python(starter(lambda: credential, name)), asynchronous=asynchronous)
    return adopted


def needs_sync(credential: object) -> CredentialValueError:
    """The refusal of an asynchronous credential where nothing can await."""
    kind = type(credential)
    return CredentialValueError(
        f"credential is required to be synchronous here: {kind.__module__}.{kind.__qualname__} is asynchronous. Pass "
        f"the synchronous class of the same name, or one of azure_postgresql_auth.identity, which serve both"
    )
