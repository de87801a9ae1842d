"""Applications (service principals), by a secret, a certificate or an assertion."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth._core import Credential, TokenProvider
from azure_postgresql_auth._engine import registry
from azure_postgresql_auth._engine.external import AssertionFetcher
from azure_postgresql_auth.identity._base import NativeCredential, PicklableCredential
from azure_postgresql_auth.identity._options import read_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure_postgresql_auth._core import Fetch


class EnvironmentCredential(PicklableCredential):
    """A service principal from `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`.

    Instead of the secret it can have a certificate: `AZURE_CLIENT_CERTIFICATE_PATH`, and optionally
    `AZURE_CLIENT_CERTIFICATE_PASSWORD` and `AZURE_CLIENT_SEND_CERTIFICATE_CHAIN`; see `CertificateCredential`.

    Args:
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(self, *, authority: str | None = None, **options: Any) -> None:
        super().__init__(Credential.environment(authority=authority), read_options("EnvironmentCredential", options))


class ClientSecretCredential(NativeCredential):
    """A service principal with a client secret.

    Args:
        tenant_id: directory (tenant) id or domain.
        client_id: application (client) id.
        client_secret: a client secret of the application.
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(
        self, tenant_id: str, client_id: str, client_secret: str, *, authority: str | None = None, **options: Any
    ) -> None:
        super().__init__(
            Credential.client_secret(tenant_id, client_id, client_secret, authority=authority),
            read_options("ClientSecretCredential", options),
            tenant_id=tenant_id,
            client_id=client_id,
        )


class CertificateCredential(NativeCredential):
    """A service principal with a certificate whose key is an RSA key.

    Args:
        tenant_id: directory (tenant) id or domain.
        client_id: application (client) id.
        certificate_path: file with the certificate and the private key, PEM or PKCS#12. It is read for each token that
            is fetched, so a renewed certificate takes effect without a restart.
        certificate_data: the content of such a file, instead of its path.
        password: password of the private key.
        send_certificate_chain: send the certificate chain, for applications that are configured with a trusted subject
            name and issuer.
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(  # noqa: PLR0913 - azure-identity's arguments
        self,
        tenant_id: str,
        client_id: str,
        certificate_path: str | None = None,
        *,
        certificate_data: bytes | None = None,
        password: str | bytes | None = None,
        send_certificate_chain: bool = False,
        authority: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            Credential.client_certificate(
                tenant_id,
                client_id,
                path=certificate_path,
                data=certificate_data,
                password=password.decode() if isinstance(password, bytes) else password,
                send_certificate_chain=send_certificate_chain,
                authority=authority,
            ),
            read_options("CertificateCredential", options),
            tenant_id=tenant_id,
            client_id=client_id,
        )


ClientCertificateCredential = CertificateCredential
"""The name of `CertificateCredential` in Azure's libraries for other languages."""


class ClientAssertionCredential(NativeCredential):
    """An application that authenticates with a JSON Web Token of another issuer (a federated identity credential).

    Args:
        tenant_id: directory (tenant) id or domain.
        client_id: application (client) id.
        func: function that returns the assertion; called in a thread for each token that is fetched.
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(
        self, tenant_id: str, client_id: str, func: Callable[[], str], *, authority: str | None = None, **options: Any
    ) -> None:
        self._application = tenant_id, client_id
        self._func = func
        self._authority = authority
        provider = TokenProvider(Credential.client_assertion(tenant_id, client_id, authority=authority))
        self._client_options = read_options("ClientAssertionCredential", options)
        fetcher = AssertionFetcher(provider, weakref.ref(self), "_answer")
        super().__init__(registry.CredentialEntry(provider, fetcher), tenant_id=tenant_id, client_id=client_id)

    def _answer(self, fetch: Fetch, tenant_id: str | None = None, claims: str | None = None) -> None:
        assertion = self._func()
        if not isinstance(assertion, str) or not assertion:
            # The message does not quote the value, which may be a valid secret.
            message = f"func of ClientAssertionCredential returned {type(assertion).__name__}, expected text"
            raise TypeError(message)
        fetch.exchange(
            *self._application,
            assertion,
            authority=self._authority,
            options=self._client_options,
            other_tenant_id=tenant_id,
            claims=claims,
        )


class AzurePipelinesCredential(NativeCredential):
    """A service connection of Azure Pipelines with workload identity federation.

    Args:
        tenant_id: directory (tenant) id of the service connection.
        client_id: application (client) id of the service connection.
        service_connection_id: id of the service connection, the "resourceId" in the URL of its page.
        system_access_token: the pipeline's predefined variable `System.AccessToken`.
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(
        self,
        *,
        tenant_id: str,
        client_id: str,
        service_connection_id: str,
        system_access_token: str,
        authority: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            Credential.azure_pipelines(
                tenant_id=tenant_id,
                client_id=client_id,
                service_connection_id=service_connection_id,
                system_access_token=system_access_token,
                authority=authority,
            ),
            read_options("AzurePipelinesCredential", options),
            tenant_id=tenant_id,
            client_id=client_id,
        )
