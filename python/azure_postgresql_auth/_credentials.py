"""Credential objects of any origin, and the tokens that they gave.

Whatever has azure-core's shape is taken, without importing azure-core: `get_token(scope)` or `get_token_info(scope)`, plain or
a coroutine function. Tokens are kept per object, for as long as the object lives.
"""

from __future__ import annotations

import weakref

from azure_postgresql_auth._core import TokenProvider
from azure_postgresql_auth.errors import CredentialValueError


class Adopted:
    """A credential and the provider of its tokens."""

    __slots__ = ("asynchronous", "provider")

    def __init__(self, provider: TokenProvider, *, asynchronous: bool | None) -> None:
        self.provider = provider
        # None: native, for both worlds.
        self.asynchronous = asynchronous


_default: Adopted | None = None
_adopted: dict[int, tuple[weakref.ref[object], Adopted]] = {}


def adopt(credential: object) -> Adopted:
    """The tokens of `credential`; of the default credential for None.

    Raises:
        CredentialValueError: it has not the shape of a credential.
    """
    global _default  # noqa: PLW0603 - one default credential per process is what shares its tokens
    if credential is None:
        if _default is None:
            _default = Adopted(TokenProvider.default_chain(exclude=[]), asynchronous=None)
        return _default
    native = getattr(credential, "_adopted", None)
    if isinstance(native, Adopted):
        return native
    known = _adopted.get(id(credential))
    if known is not None and known[0]() is credential:
        return known[1]
    return _adopt_foreign(credential)


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
    key = id(credential)
    try:
        reference = weakref.ref(credential, lambda _: _adopted.pop(key, None))
    except TypeError:
        # It cannot be held weakly (slots): its tokens are not kept beyond this login.
        return Adopted(TokenProvider.python(starter(lambda: credential, name)), asynchronous=asynchronous)
    adopted = Adopted(TokenProvider.python(starter(reference, name)), asynchronous=asynchronous)
    _adopted[key] = (reference, adopted)
    return adopted


def needs_sync(credential: object) -> CredentialValueError:
    """The refusal of an asynchronous credential where nothing can await."""
    kind = type(credential)
    return CredentialValueError(
        f"credential is required to be synchronous here: {kind.__module__}.{kind.__qualname__} is asynchronous. Pass the "
        f"synchronous class of the same name, or one of azure_postgresql_auth.identity, which serve both"
    )
