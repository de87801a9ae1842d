"""Credentials that ask several others in order."""

from __future__ import annotations

import os
from typing import Any

from azure_postgresql_auth._core import Credential
from azure_postgresql_auth._engine import registry
from azure_postgresql_auth._engine.fallback import KEYWORDS, LINKS
from azure_postgresql_auth.identity._applications import ClientAssertionCredential
from azure_postgresql_auth.identity._base import NativeCredential, PicklableCredential
from azure_postgresql_auth.identity._options import read_options


class _NotGiven:
    """The default of an argument to which None means something else."""

    def __repr__(self) -> str:
        return "not given"


_NOT_GIVEN: Any = _NotGiven()


class ChainedTokenCredential(PicklableCredential):
    """Credentials tried in order; the first that gives a token is used from then on.

    One that is not set up on this machine is passed over; one that is set up and fails ends the search.

    Args:
        credentials: credentials of this module. For others, azure-identity's class of this name takes both.
    """

    def __init__(self, *credentials: NativeCredential) -> None:
        if not credentials:
            message = "at least one credential is required"
            raise ValueError(message)
        for credential in credentials:
            if not isinstance(credential, NativeCredential):
                message = (
                    f"a chain here holds credentials of azure_postgresql_auth.identity, not "
                    f"{type(credential).__name__}; azure.identity.ChainedTokenCredential takes both"
                )
                raise ValueError(message)  # noqa: TRY004 - what azure-identity raises
            if isinstance(credential, ClientAssertionCredential):
                message = (
                    "ClientAssertionCredential calls a function of yours, which a chain here cannot; "
                    "azure.identity.ChainedTokenCredential takes it"
                )
                raise ValueError(message)  # noqa: TRY004 - as above
            if registry.resolve(credential) is not credential._tokens:  # noqa: SLF001 - its own kind
                message = (
                    f"{type(credential).__name__} overrides get_token or get_token_info, which a chain here does not "
                    f"call; azure.identity.ChainedTokenCredential does"
                )
                raise ValueError(message)
        links = [credential._provider.credential for credential in credentials]  # noqa: SLF001 - its own kind
        super().__init__(Credential.chain(links))


class DefaultAzureCredential(PicklableCredential):
    """Whatever signs this program in: on Azure the workload, on a developer's machine the developer.

    Tries, in azure-identity's order, the environment, workload identity, managed identity (looked for one second at
    most), the Azure CLI, Azure PowerShell and the Azure Developer CLI. The first that gives a token is used from then
    on. If none does and azure-identity is installed, its own default credential is asked for what only it can do.

    `AZURE_TOKEN_CREDENTIALS` narrows the choice, when the object is made: `dev`, `prod` or the name of one credential.

    Args:
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        managed_identity_client_id: client id of a user-assigned identity; by default `AZURE_CLIENT_ID`. None, like an
            empty text, means the system-assigned identity.
        workload_identity_client_id: by default `managed_identity_client_id`; where that is not given either, None or
            empty, `AZURE_CLIENT_ID`.
        workload_identity_tenant_id: by default `AZURE_TENANT_ID`.
        process_timeout: seconds that each command line may take; by default 10.
        require_envvar: insist on `AZURE_TOKEN_CREDENTIALS`.
        exclude_environment_credential: leaves this one out, or with False takes it in where `AZURE_TOKEN_CREDENTIALS`
            does not; likewise the other `exclude_` keywords of azure-identity. Its further keywords go to its own,
            and those that this module names are honoured here, too.
    """

    def __init__(  # noqa: PLR0913 - azure-identity's
        self,
        *,
        authority: str | None = None,
        managed_identity_client_id: str | None = _NOT_GIVEN,
        workload_identity_client_id: str | None = _NOT_GIVEN,
        workload_identity_tenant_id: str | None = None,
        process_timeout: float | None = None,
        require_envvar: bool = False,
        **further: Any,
    ) -> None:
        excludes = {f"exclude_{link}_credential": link for link in LINKS}
        # These keywords are for azure-identity's own credential as well.
        python = {keyword: value for keyword, value in further.items() if keyword not in excludes}
        options = {keyword: value for keyword, value in python.items() if keyword not in KEYWORDS}
        if require_envvar and not os.environ.get("AZURE_TOKEN_CREDENTIALS", "").strip():
            message = "AZURE_TOKEN_CREDENTIALS is not set, which require_envvar=True demands: dev, prod or a credential"
            raise ValueError(message)
        of_environment = managed_identity_client_id is _NOT_GIVEN
        named = None if of_environment else managed_identity_client_id
        if workload_identity_client_id is _NOT_GIVEN:
            workload_identity_client_id = named
        if authority:
            python["authority"] = authority
        super().__init__(
            registry.default(
                {link: bool(further[name]) for name, link in excludes.items() if further.get(name) is not None},
                python,
                read_options("DefaultAzureCredential", options, (*excludes, *KEYWORDS)),
                managed_identity_client_id=named,
                system_assigned=not of_environment and not named,
                workload_identity_client_id=workload_identity_client_id,
                workload_identity_tenant_id=workload_identity_tenant_id,
                authority=authority,
                process_timeout=process_timeout,
            )
        )
