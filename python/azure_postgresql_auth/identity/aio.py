"""The credentials of `azure_postgresql_auth.identity` with a coroutine `get_token`, for Azure's asynchronous clients.

    from azure.storage.blob.aio import BlobServiceClient
    from azure_postgresql_auth.identity.aio import DefaultAzureCredential

    async with DefaultAzureCredential() as credential, BlobServiceClient(account_url, credential) as blobs: ...

They are not bound to an event loop, and need neither `close` nor aiohttp. The functions of this package accept both
kinds of credentials, in synchronous code too. These classes are needed only for Azure's asynchronous clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_postgresql_auth import identity
from azure_postgresql_auth.core import login_async
from azure_postgresql_auth.identity import (
    AccessToken,
    AccessTokenInfo,
    AsyncTokenCredential,  # noqa: F401 - public here, too
    TokenCredential,  # noqa: F401
)
from azure_postgresql_auth.identity._base import NativeCredential

if TYPE_CHECKING:
    from types import TracebackType
    from typing import NoReturn

    from azure.core.credentials import TokenRequestOptions
    from typing_extensions import Self


__all__: list[str] = []
__all__ += identity.__all__


class _Asynchronous(NativeCredential):
    """Base class of the credentials, with the methods of azure-identity's asynchronous credentials."""

    async def get_token(  # type: ignore[override]
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,  # noqa: ARG002 - part of azure-core's protocol
        **_: Any,
    ) -> AccessToken:
        """Return an access token for one scope; the event loop is not blocked while it is fetched.

        The arguments and errors are those of `azure_postgresql_auth.identity`'s `get_token`.
        """
        found = await login_async(self._for(tenant_id, claims), self._only(scopes), user_known=True)
        return AccessToken(found.password, found.expires_on)

    async def get_token_info(  # type: ignore[override]
        self,
        *scopes: str,
        options: TokenRequestOptions | None = None,
    ) -> AccessTokenInfo:
        """Return a token as `get_token` does, for azure-core; `options` may have `claims` and `tenant_id`."""
        found = await login_async(self._wanted(options), self._only(scopes), user_known=True)
        return AccessTokenInfo(found.password, found.expires_on)

    _own = (get_token, get_token_info)

    async def close(self) -> None:  # type: ignore[override]
        """Do nothing: credentials hold no resources. The method exists because azure-identity's credentials have it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    def __enter__(self) -> NoReturn:
        message = f"azure_postgresql_auth.identity.aio.{type(self).__name__} is entered with `async with`"
        raise TypeError(message)


class AzureCliCredential(_Asynchronous, identity.AzureCliCredential): ...


class AzureDeveloperCliCredential(_Asynchronous, identity.AzureDeveloperCliCredential): ...


class AzurePipelinesCredential(_Asynchronous, identity.AzurePipelinesCredential): ...


class AzurePowerShellCredential(_Asynchronous, identity.AzurePowerShellCredential): ...


class CertificateCredential(_Asynchronous, identity.CertificateCredential): ...


ClientCertificateCredential = CertificateCredential


class ChainedTokenCredential(_Asynchronous, identity.ChainedTokenCredential): ...


class ClientAssertionCredential(_Asynchronous, identity.ClientAssertionCredential): ...


class ClientSecretCredential(_Asynchronous, identity.ClientSecretCredential): ...


class DefaultAzureCredential(_Asynchronous, identity.DefaultAzureCredential): ...


class EnvironmentCredential(_Asynchronous, identity.EnvironmentCredential): ...


class ManagedIdentityCredential(_Asynchronous, identity.ManagedIdentityCredential): ...


class WorkloadIdentityCredential(_Asynchronous, identity.WorkloadIdentityCredential): ...
