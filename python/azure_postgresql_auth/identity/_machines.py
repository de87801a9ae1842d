"""Identities of machines, containers and pods, and the accounts of developer tools."""

from __future__ import annotations

from typing import Any

from azure_postgresql_auth._core import Credential
from azure_postgresql_auth.identity._base import PicklableCredential
from azure_postgresql_auth.identity._options import read_options


class ManagedIdentityCredential(PicklableCredential):
    """The managed identity of the machine, container or app that the program runs on.

    Args:
        client_id: client id of a user-assigned identity; by default the system-assigned one.
        object_id: object (principal) id of a user-assigned identity, instead of `client_id`.
        resource_id: Azure resource id of a user-assigned identity, instead of `client_id`.
        identity_config: a dictionary with one of these three keys, as in azure-identity.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(
        self,
        *,
        client_id: str | None = None,
        object_id: str | None = None,
        resource_id: str | None = None,
        identity_config: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        named = {"client_id": client_id, "object_id": object_id, "resource_id": resource_id}
        for key, value in (identity_config or {}).items():
            if key not in named:
                message = f"identity_config has {key!r}: one of {', '.join(named)}"
                raise ValueError(message)
            if named[key] and value and named[key] != value:
                message = f"{key}= and identity_config name different identities: give one of them"
                raise ValueError(message)
            named[key] = named[key] or value
        super().__init__(Credential.managed_identity(**named), read_options("ManagedIdentityCredential", options))


class WorkloadIdentityCredential(PicklableCredential):
    """Workload identity in Kubernetes: exchange the service account's token for one of Entra ID.

    Args:
        tenant_id: directory (tenant) id; by default `AZURE_TENANT_ID`.
        client_id: application (client) id; by default `AZURE_CLIENT_ID`.
        token_file_path: file with the service account's token, read for each fetch; by default
            `AZURE_FEDERATED_TOKEN_FILE`.
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(
        self,
        *,
        tenant_id: str | None = None,
        client_id: str | None = None,
        token_file_path: str | None = None,
        authority: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            Credential.workload_identity(
                tenant_id=tenant_id, client_id=client_id, token_file_path=token_file_path, authority=authority
            ),
            read_options("WorkloadIdentityCredential", options),
        )


class AzureCliCredential(PicklableCredential):
    """The account that is signed in to the Azure CLI (`az login`).

    Args:
        tenant_id: tenant to request the token from; by default that of the CLI's account.
        subscription: name or id of the subscription whose account to use; by default the CLI's current one.
        process_timeout: seconds after which `az` and the processes that it started are stopped; by default 10.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(
        self,
        *,
        tenant_id: str | None = None,
        subscription: str | None = None,
        process_timeout: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            Credential.azure_cli(tenant_id=tenant_id, subscription=subscription, process_timeout=process_timeout),
            read_options("AzureCliCredential", options),
        )


class AzureDeveloperCliCredential(PicklableCredential):
    """The account that is signed in to the Azure Developer CLI (`azd auth login`).

    Args:
        tenant_id: tenant to request the token from; by default that of azd's environment.
        process_timeout: seconds after which `azd` and the processes that it started are stopped; by default 10.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(self, *, tenant_id: str | None = None, process_timeout: float | None = None, **options: Any) -> None:
        super().__init__(
            Credential.azure_developer_cli(tenant_id=tenant_id, process_timeout=process_timeout),
            read_options("AzureDeveloperCliCredential", options),
        )


class AzurePowerShellCredential(PicklableCredential):
    """The account that is signed in to Azure PowerShell (`Connect-AzAccount`).

    Requires the PowerShell module Az.Accounts 2.2 or later.

    Args:
        tenant_id: tenant to request the token from; by default that of the current context.
        process_timeout: seconds after which `pwsh` and the processes that it started are stopped; by default 10.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(self, *, tenant_id: str | None = None, process_timeout: float | None = None, **options: Any) -> None:
        super().__init__(
            Credential.azure_powershell(tenant_id=tenant_id, process_timeout=process_timeout),
            read_options("AzurePowerShellCredential", options),
        )
