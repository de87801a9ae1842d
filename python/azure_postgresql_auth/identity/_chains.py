"""Credentials that try several others in order."""

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
    """The default of an argument for which None has a meaning of its own."""

    def __repr__(self) -> str:
        return "not given"


_NOT_GIVEN: Any = _NotGiven()


class ChainedTokenCredential(PicklableCredential):
    """Try credentials in order; use the first that returns a token from then on.

    A credential that is not configured on this machine is skipped. One that is configured and fails ends the search.

    Args:
        credentials: credentials of this module. For a chain with other credentials, use azure-identity's class of this
            name, which accepts both.

    Raises:
        ValueError: no credential is given, or one that a chain cannot use.
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
                    "ClientAssertionCredential calls a Python function, which a chain here cannot do; "
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
    """The default credential: the workload's identity on Azure, the developer's account on a developer's machine.

    It tries, in azure-identity's order, the environment, workload identity, managed identity (for one second at most),
    the Azure CLI, Azure PowerShell and the Azure Developer CLI. The first that returns a token is used from then on. If
    none does and azure-identity is installed, the credentials that only azure-identity has are tried.

    `AZURE_TOKEN_CREDENTIALS` (`dev`, `prod` or the name of one credential) restricts the choice; it is read by the
    constructor.

    Args:
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        managed_identity_client_id: client id of a user-assigned identity; by default `AZURE_CLIENT_ID`. None or an
            empty string selects the system-assigned identity.
        workload_identity_client_id: client id of the workload identity; by default `managed_identity_client_id` or, if
            that is not given or empty, `AZURE_CLIENT_ID`.
        workload_identity_tenant_id: tenant of the workload identity; by default `AZURE_TENANT_ID`.
        process_timeout: seconds that each developer tool may take; by default 10.
        require_envvar: True to raise `ValueError` if `AZURE_TOKEN_CREDENTIALS` is not set.
        exclude_environment_credential: True to skip this credential, False to include it even if
            `AZURE_TOKEN_CREDENTIALS` does not. The other `exclude_` keywords of azure-identity work alike. Further
            keywords are passed to azure-identity's default credential; those described in this module apply here, too.

    Raises:
        ValueError: an argument or `AZURE_TOKEN_CREDENTIALS` is not valid, or no credential is left to try.
        TypeError: a keyword is unknown or not supported.
    """

    def __init__(  # noqa: PLR0913 - azure-identity's arguments
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
