"""azure-core's types of access tokens and credentials, for type checkers with and without azure-core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    # azure-core's clients accept only azure-core's classes. Without azure-core the bases are Any, and a type checker
    # knows only the attributes declared here.
    from azure.core import credentials as azure

    class AccessToken(azure.AccessToken):
        """An access token, compatible with azure-core's."""

        token: str
        expires_on: int

    class AccessTokenInfo(azure.AccessTokenInfo):
        """An access token with further attributes, compatible with azure-core's."""

        token: str
        expires_on: int
        token_type: str
        refresh_on: int | None

else:

    class AccessToken(NamedTuple):
        """An access token, compatible with azure-core's.

        Attributes:
            token: the token.
            expires_on: when the token expires, in seconds since 1970 (UTC).
        """

        token: str
        expires_on: int

        def __repr__(self) -> str:
            return f"AccessToken(token='****', expires_on={self.expires_on})"

    class AccessTokenInfo:
        """An access token with further attributes, compatible with azure-core's.

        Attributes:
            token: the token.
            expires_on: when the token expires, in seconds since 1970 (UTC).
            token_type: the type of the token, "Bearer".
            refresh_on: when the issuer recommends a renewal, in seconds since 1970 (UTC); None if it does not.
        """

        __slots__ = ("expires_on", "refresh_on", "token", "token_type")

        def __init__(
            self,
            token: str,
            expires_on: int,
            *,
            token_type: str = "Bearer",  # noqa: S107 - not a password
            refresh_on: int | None = None,
        ) -> None:
            self.token = token
            self.expires_on = expires_on
            self.token_type = token_type
            self.refresh_on = refresh_on

        def __repr__(self) -> str:
            return f"AccessTokenInfo(token='****', expires_on={self.expires_on})"


class _Token(Protocol):
    @property
    def token(self) -> str: ...

    @property
    def expires_on(self) -> Any: ...  # seconds since 1970; some credentials have fractions of them


@runtime_checkable
class TokenCredential(Protocol):
    """Any object with a synchronous `get_token`, such as the credentials of this module and of `azure.identity`."""

    def get_token(self, *scopes: str) -> _Token:
        """Return an access token for a scope; `expires_on` is in seconds since 1970."""


@runtime_checkable
class AsyncTokenCredential(Protocol):
    """Any object with a coroutine `get_token`, such as the credentials of `identity.aio` and `azure.identity.aio`."""

    async def get_token(self, *scopes: str) -> _Token:
        """Return an access token for a scope; `expires_on` is in seconds since 1970."""
