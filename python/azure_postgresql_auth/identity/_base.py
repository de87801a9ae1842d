"""Base classes of all credentials: tokens for Azure's clients, tenants and claims, and pickling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_postgresql_auth._core import Credential, TokenProvider, TokenStats
from azure_postgresql_auth._engine import registry
from azure_postgresql_auth._shapes import AccessToken, AccessTokenInfo
from azure_postgresql_auth.core import login
from azure_postgresql_auth.identity._options import hold_secret

if TYPE_CHECKING:
    from types import TracebackType

    from azure.core.credentials import TokenRequestOptions
    from typing_extensions import Self

    from azure_postgresql_auth._core import ClientOptions


class NativeCredential:
    """Base class of all credentials."""

    def __init__(
        self, tokens: Credential | registry.CredentialEntry, options: ClientOptions | None = None, **shown: str
    ) -> None:
        if isinstance(tokens, Credential):
            credential = tokens if options is None else tokens.configured(options)
            tokens = registry.CredentialEntry(TokenProvider(credential))
        self._provider = tokens.provider
        self._shown = shown
        self._by_tenant: dict[str, object] = {}
        self._tokens = tokens
        registry.keep_own(self, tokens, *self._own)

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,  # noqa: ARG002 - part of azure-core's protocol
        **_: Any,
    ) -> AccessToken:
        """Return an access token for one scope, cached or fetched.

        Args:
            scopes: one OAuth 2.0 scope.
            claims: the claims of a challenge, as JSON, that the token has to satisfy. A token with claims is always
                fetched, never taken from the cache.
            tenant_id: the tenant to request the token from. Applications and developer tools accept their own tenant
                and those in `additionally_allowed_tenants`; developer tools without a tenant accept any.
            enable_cae: accepted for compatibility with azure-core, without effect: continuous access evaluation is not
                supported.

        Returns:
            The token, with its expiry in seconds since 1970 (UTC).

        Raises:
            ValueError: `scopes` is not exactly one scope, or `tenant_id` is not a tenant.
            EntraConnectionValueError: no token could be obtained; the message lists every attempt.
        """
        found = login(self._for(tenant_id, claims), self._only(scopes), user_known=True)
        return AccessToken(found.password, found.expires_on)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return a token as `get_token` does (azure-core's `SupportsTokenInfo`); `options`: `claims`, `tenant_id`."""
        found = login(self._wanted(options), self._only(scopes), user_known=True)
        return AccessTokenInfo(found.password, found.expires_on)

    # The methods as defined here, to detect overrides.
    _own: tuple[Any, Any] = (get_token, get_token_info)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name in {"get_token", "get_token_info"}:
            registry.distrust(self._tokens)

    def _wanted(self, options: TokenRequestOptions | None) -> object:
        return self._tokens if options is None else self._for(options.get("tenant_id"), options.get("claims"))

    def _for(self, tenant_id: str | None, claims: str | None) -> object:
        """Return the credential's cache entry, or an object with tokens of a tenant or for claims."""
        if claims:
            # Not kept, because claims answer a single challenge.
            return self._narrowed(tenant_id, claims)
        if not tenant_id:
            return self._tokens
        known = self._by_tenant.get(tenant_id)
        # setdefault, because several threads can run this at the same time.
        return self._by_tenant.setdefault(tenant_id, self._narrowed(tenant_id, None)) if known is None else known

    def _narrowed(self, tenant_id: str | None, claims: str | None) -> object:
        made = _Narrowed()
        registry.keep(made, self._tokens.narrowed(tenant_id, claims))
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._shown.items())})"

    def _only(self, scopes: tuple[str, ...]) -> str:
        if len(scopes) != 1:
            message = f"{type(self).__name__} gives a token for exactly one scope, not for {len(scopes)}"
            raise ValueError(message)
        return scopes[0]

    def stats(self) -> TokenStats:
        """Return the counters of this credential's token cache; see `core.token_stats`."""
        return self._provider.stats()

    def close(self) -> None:
        """Do nothing: credentials hold no resources. The method exists because azure-identity's credentials have it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    def __copy__(self) -> Self:
        # A credential is immutable, and a copy would have to fetch its own tokens.
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        message = (
            f"{type(self).__name__} holds a secret, and so it cannot be pickled. Make one in each process, with a "
            f"secret that the process finds itself; or use a credential without one, as ManagedIdentityCredential is, "
            f"or EnvironmentCredential with the secret in AZURE_CLIENT_SECRET"
        )
        raise TypeError(message)


class _Narrowed:
    """Represents a credential's tokens of one tenant or for claims."""


class PicklableCredential(NativeCredential):
    """Base class of credentials without a secret.

    Unpickling one creates a credential with the same arguments, which fetches its own tokens. Only classes whose
    arguments may be written to a disk or sent to another machine derive from it.
    """

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    # In __new__ rather than __init__, so that a subclass with other arguments is recreated with its own.
    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._arguments = tuple(map(_copied, args)), {name: _copied(value) for name, value in kwargs.items()}
        return self

    def __repr__(self) -> str:
        args, kwargs = self._arguments
        # A proxy's URL may contain a password.
        shown = [f"{name}={value!r}" for name, value in kwargs.items() if name != "proxies"]
        return f"{type(self).__name__}({', '.join([*map(repr, args), *shown])})"

    def __reduce__(self) -> str | tuple[Any, ...]:
        args, kwargs = self._arguments
        if hold_secret(kwargs):
            message = f"{type(self).__name__} has proxies with a password, and so it cannot be pickled"
            raise TypeError(message)
        return restore, (type(self), args, kwargs)


def _copied(value: Any) -> Any:
    """Return a copy of an argument that the caller may modify later."""
    return value.copy() if isinstance(value, (dict, list)) else value


# Unpickled credentials by class and arguments. A scheduler's worker unpickles its credential with every task. It gets
# the same object each time, so that it does not fetch a token per task. The entries stay: a program has few
# configurations.
_unpickled: dict[Any, NativeCredential] = {}


def restore(kind: type[NativeCredential], args: tuple[Any, ...], kwargs: dict[str, Any]) -> NativeCredential:
    """Return this process's credential with these arguments, creating it the first time."""
    try:
        key = kind, _hashable(args), _hashable(kwargs)
        known = _unpickled.get(key)
    except TypeError:
        # A subclass has an argument that is not hashable.
        return kind(*args, **kwargs)
    # setdefault, because several threads can run this at the same time.
    return _unpickled.setdefault(key, kind(*args, **kwargs)) if known is None else known


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((name, _hashable(item)) for name, item in value.items())
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value
