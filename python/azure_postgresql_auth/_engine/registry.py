"""The registry of credential objects and their tokens.

A credential is any object with azure-core's `get_token(scope)` or `get_token_info(scope)`, synchronous or a coroutine
function; azure-core is not imported. Tokens are cached per object, for as long as the object lives. Objects that cannot
be referenced weakly (named tuples, and classes with `__slots__`) are kept alive by the registry, the last `_HELD` of
them.
"""

from __future__ import annotations

import atexit
import weakref
from collections import deque

from azure_postgresql_auth._core import Credential, TokenProvider, stop_commands
from azure_postgresql_auth._engine.external import ExternalFetcher, is_asynchronous, needs_sync, refuse_recursion
from azure_postgresql_auth._engine.fallback import Fallback
from azure_postgresql_auth._redacted import Redacted, unredacted
from azure_postgresql_auth.errors import CredentialValueError

TYPE_CHECKING = False  # see "Start-up" in docs/architecture.md
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable, Final

    from azure_postgresql_auth._core import ClientOptions, Login, PendingLogin

_HELD: Final = 64

# Otherwise `az` would keep running.
atexit.register(stop_commands)


class CredentialEntry:
    """A credential's tokens, and how they are fetched."""

    __slots__ = ("asynchronous", "fetcher", "method", "overrides", "own", "owner", "provider", "scope")

    def __init__(
        self,
        provider: TokenProvider,
        fetcher: ExternalFetcher | Fallback | None = None,
        *,
        asynchronous: bool = False,
    ) -> None:
        self.provider = provider
        # Returns the credential that the tokens belong to; None if it was deleted.
        self.owner: Callable[[], object | None] = lambda: None
        self.asynchronous = asynchronous
        # None: the engine makes all fetches itself.
        self.fetcher = fetcher
        # The default scope. Resolved once, because that takes longer than a cached login.
        self.scope: str | None = None
        # For a credential of this package: its own methods, and the `get_token` that it has unless a program overrides
        # it. `method` is None for all other credentials.
        self.own: dict[str, object] = {}
        self.method: object = None
        # The tokens of such overrides, by the id of the overriding function.
        self.overrides: dict[int, CredentialEntry] = {}

    def make_fetches(self, *, blocking: bool) -> None:
        """Start the fetches that the engine has queued for Python."""
        if self.fetcher is not None:
            self.fetcher.make(blocking=blocking)

    def refuse_recursion(self, pending: PendingLogin) -> None:
        """Check that it is not the credential's own method that is going to wait.

        Raises:
            CredentialValueError: it is.
        """
        if self.fetcher is not None:
            refuse_recursion(self.provider, pending.scope)

    def narrowed(self, tenant_id: str | None, claims: str | None) -> CredentialEntry:
        """Return the entry for the same credential's tokens of one tenant, or that satisfy claims.

        Raises:
            ValueError: `tenant_id` is not a tenant id or domain.
        """
        provider = TokenProvider(self.provider.credential.narrowed(tenant_id=tenant_id, claims=claims))
        fetcher = self.fetcher
        if fetcher is not None:
            fetcher = fetcher.narrowed(provider, tenant_id=tenant_id, claims=claims)
        return CredentialEntry(provider, fetcher)

    def resolve_scope(self) -> str:
        """Return the default scope, and remember it."""
        self.scope = self.provider.default_scope()
        return self.scope


# By id, because credentials need not be hashable, and distinct ones may compare equal. An id can be reused after an
# object is deleted, so `owner` is compared, too.
entries: dict[int, CredentialEntry] = {}


def resolve(credential: object) -> CredentialEntry:
    """Return the entry of `credential`; of the default credential for None.

    Raises:
        CredentialValueError: it is not a credential object.
    """
    known = entries.get(id(credential))
    if known is not None and known.owner() is credential:
        if known.method is None or type(credential).get_token is known.method:  # type: ignore[attr-defined]
            return known
        return _resolve_override(credential, known)
    if isinstance(credential, CredentialEntry):
        # A credential of this package obtains a token for its own `get_token`.
        return credential
    if isinstance(credential, Redacted):
        # In the connection parameters of Django's backend.
        return resolve(credential.value)
    if credential is None:
        # One default credential per process, which shares its tokens. setdefault, because several threads can run this.
        return entries.setdefault(id(None), default())
    return _resolve_external(credential)


def start(
    credential: object,
    scope: str | None,
    user_known: bool,  # noqa: FBT001 - positional for speed
    *,
    blocking: bool,
) -> tuple[CredentialEntry, Login | PendingLogin]:
    """Return a cached login, or start to fetch one.

    Args:
        credential: None, or an object with the methods of a credential.
        scope: OAuth 2.0 scope of the token; None for the default one.
        user_known: the caller has a user name, so the claims are not read.
        blocking: the caller is not on an event loop.

    Raises:
        CredentialValueError: `credential` is not a credential object, or an asynchronous one in blocking code.
    """
    entry = resolve(credential)
    if blocking and entry.asynchronous:
        raise needs_sync(unredacted(credential))
    found = entry.provider.login(scope or entry.scope or entry.resolve_scope(), user_known)
    entry.make_fetches(blocking=blocking)
    return entry, found


def default(
    exclude: Mapping[str, bool] | None = None,
    python: Mapping[str, object] | None = None,
    options: ClientOptions | None = None,
    **settings: Any,
) -> CredentialEntry:
    """Return an entry for a default credential.

    Args:
        exclude: for names of links, whether the link is skipped.
        python: keywords for azure-identity's default credential, which is the fallback.
        options: options of the native links' requests.
        settings: keywords for the native links.
    """
    chain, links = Credential.default_chain(excluded=list((exclude or {}).items()), **settings)
    provider = TokenProvider(chain if options is None else chain.configured(options))
    return CredentialEntry(provider, Fallback(provider, links, python or {}) if links else None)


class _Holder:
    """Holds a credential that cannot be referenced weakly."""

    __slots__ = ("__weakref__", "credential")

    def __init__(self, credential: object) -> None:
        self.credential = credential


# Appending drops the oldest holder, and with it the tokens of its credential.
_holders: deque[_Holder] = deque(maxlen=_HELD)


def keep_own(credential: object, entry: CredentialEntry, get_token: object, get_token_info: object) -> None:
    """Register the tokens of a credential of this package, and its own methods.

    A method that is overridden, in a subclass or by `unittest.mock.patch`, is called like that of an external
    credential.
    """
    entry.own = {"get_token": get_token, "get_token_info": get_token_info}
    entry.method = get_token
    if _function(credential, "get_token_info") is not get_token_info:
        distrust(entry)
    keep(credential, entry)


def distrust(entry: CredentialEntry) -> None:
    """Check all methods of a credential of this package at each login, because one may be overridden."""
    # The dictionary never equals a method, so the comparison in `resolve` always fails.
    entry.method = entry.own


def _function(credential: Any, name: str) -> object:
    method = getattr(credential, name)
    return getattr(method, "__func__", method)


def _resolve_override(credential: object, known: CredentialEntry) -> CredentialEntry:
    for name in ("get_token_info", "get_token"):
        function = _function(credential, name)
        if function is not known.own[name]:
            break
    else:
        return known
    override = known.overrides.get(id(function))
    if override is None:
        provider = TokenProvider(Credential.external(type(credential).__name__))
        asynchronous = is_asynchronous(getattr(credential, name))
        override = CredentialEntry(provider, ExternalFetcher(provider, known.owner, name), asynchronous=asynchronous)
        # Keeps the function alive, so that its id is not reused.
        override.own[name] = function
        # setdefault, because several threads can run this at the same time.
        override = known.overrides.setdefault(id(function), override)
    return override


def keep(credential: object, entry: CredentialEntry) -> CredentialEntry:
    """Register the tokens of `credential` while it lives; return the entry, which another thread may have added."""
    key = id(credential)

    def forget(_: object) -> None:
        entries.pop(key, None)

    try:
        entry.owner = weakref.ref(credential, forget)
    except TypeError:
        holder = _Holder(credential)
        held = weakref.ref(holder, forget)
        entry.owner = lambda: getattr(held(), "credential", None)
        _holders.append(holder)
    return entries.setdefault(key, entry)


def _resolve_external(credential: object) -> CredentialEntry:
    # Looked up on the class first, because a mock has every attribute, and every credential implements get_token.
    name = "get_token_info" if callable(getattr(type(credential), "get_token_info", None)) else "get_token"
    method = getattr(credential, name, None)
    if isinstance(credential, type) or not callable(method):
        kind = f"the class {credential.__name__}" if isinstance(credential, type) else type(credential).__name__
        message = (
            f"credential is required to have a get_token method, as those of azure_postgresql_auth.identity and "
            f"azure.identity have; got {kind}"
        )
        raise CredentialValueError(message)
    asynchronous = is_asynchronous(method)
    provider = TokenProvider(Credential.external(type(credential).__name__))
    reference: Callable[[], object | None]
    try:
        reference = weakref.ref(credential)
    except TypeError:
        # A strong reference, so that the credential can be called after its holder was dropped.
        def reference() -> object:
            return credential

    return keep(
        credential, CredentialEntry(provider, ExternalFetcher(provider, reference, name), asynchronous=asynchronous)
    )
