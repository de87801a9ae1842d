"""Credentials that serve synchronous and asynchronous code alike, any number of threads and event loops, and forks.

They take the constructor keywords of azure-identity's classes of the same names, and have their `get_token` and
`get_token_info`, so that they also work with Azure's other clients; for asynchronous clients, `aio` has the same
classes with coroutines. Settings from the environment are read when a
token is needed. `get_token` returns a cached token while it is good, and renews it in the background before it expires.

Each also takes these of azure-identity's options:

- `additionally_allowed_tenants`: tenants that `get_token(tenant_id=...)` may name, besides the credential's own; "*"
  for all
- `proxies`: as requests has them, `{"https": "http://proxy:3128"}`; by default the environment's. Managed identity
  uses none
- `connection_verify`: path of a PEM file, or of a directory of them, with the certification authorities to trust
- `connection_timeout`, `read_timeout`: seconds that connecting takes and that the service is silent at most

Others that cannot matter here, such as `logging_enable` and `retry_total`, are ignored, with a line in the log; those
that would have to change how requests are made, such as `transport`, are refused with `TypeError`.

Their values are checked when they are made (`ValueError`); whether they work shows when a token is asked for
(`EntraConnectionValueError`).

Those that hold no secret can be pickled: as what they were made with, never with a token.
"""

from __future__ import annotations

import functools
import os
import weakref
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth._core import TokenProvider, TokenStats
from azure_postgresql_auth._engine import registry
from azure_postgresql_auth._engine.external import AssertionCaller
from azure_postgresql_auth._shapes import AccessToken, AccessTokenInfo, AsyncTokenCredential, TokenCredential
from azure_postgresql_auth.core import login
from azure_postgresql_auth.identity import _options

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from azure.core.credentials import TokenRequestOptions
    from typing_extensions import Self

    from azure_postgresql_auth._core import ClientOptions, Fetch

__all__ = [
    "AccessToken",
    "AccessTokenInfo",
    "AsyncTokenCredential",
    "AzureCliCredential",
    "AzureDeveloperCliCredential",
    "AzurePipelinesCredential",
    "AzurePowerShellCredential",
    "CertificateCredential",
    "ChainedTokenCredential",
    "ClientAssertionCredential",
    "ClientCertificateCredential",
    "ClientSecretCredential",
    "DefaultAzureCredential",
    "EnvironmentCredential",
    "ManagedIdentityCredential",
    "TokenCredential",
    "WorkloadIdentityCredential",
]


class _NativeCredential:
    """What all credentials here can do."""

    def __init__(
        self, tokens: TokenProvider | registry.Adopted, options: ClientOptions | None = None, **shown: str
    ) -> None:
        if isinstance(tokens, TokenProvider):
            tokens = registry.Adopted(tokens if options is None else tokens.configured(options))
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
        enable_cae: bool = False,  # noqa: ARG002 - azure-core's
        **_: Any,
    ) -> AccessToken:
        """Return an access token for one scope, cached or fetched.

        Args:
            scopes: one OAuth 2.0 scope.
            claims: the claims of a challenge, as JSON, that the token is to satisfy; it is fetched then.
            tenant_id: the tenant that the token is to be of. Applications and command lines serve their own and those
                in `additionally_allowed_tenants`, and command lines without a tenant all.
            enable_cae: azure-core's, without effect: tokens do not announce continuous access evaluation.

        Raises:
            ValueError: not exactly one scope, or no tenant.
            EntraConnectionValueError: no token could be had, or none of that tenant; lists every attempt.
        """
        found = login(self._for(tenant_id, claims), self._only(scopes), user_known=True)
        return AccessToken(found.password, found.expires_on)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return the same for azure-core's `SupportsTokenInfo`; `options` has `claims` and `tenant_id`."""
        found = login(self._wanted(options), self._only(scopes), user_known=True)
        return AccessTokenInfo(found.password, found.expires_on)

    # As they are defined here, whatever is put in their place.
    _own: tuple[Any, Any] = (get_token, get_token_info)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name in {"get_token", "get_token_info"}:
            registry.distrust(self._tokens)

    def _wanted(self, options: TokenRequestOptions | None) -> object:
        return self._tokens if options is None else self._for(options.get("tenant_id"), options.get("claims"))

    def _for(self, tenant_id: str | None, claims: str | None) -> object:
        """Return its own tokens, or what stands for those of a tenant or for claims."""
        if claims:
            # Not kept: it answers one challenge.
            return self._narrowed(tenant_id, claims)
        if not tenant_id:
            return self._tokens
        known = self._by_tenant.get(tenant_id)
        # setdefault: threads may come here together.
        return self._by_tenant.setdefault(tenant_id, self._narrowed(tenant_id, None)) if known is None else known

    def _narrowed(self, tenant_id: str | None, claims: str | None) -> object:
        made = _Narrowed()
        provider = self._provider.narrowed(tenant_id=tenant_id, claims=claims)
        fallback = self._tokens.fallback
        if fallback is not None:
            fallback = fallback.narrowed(provider, tenant_id=tenant_id, claims=claims)
        registry.keep(made, registry.Adopted(provider, fallback=fallback))
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._shown.items())})"

    def _only(self, scopes: tuple[str, ...]) -> str:
        if len(scopes) != 1:
            message = f"{type(self).__name__} gives a token for exactly one scope, not for {len(scopes)}"
            raise ValueError(message)
        return scopes[0]

    def stats(self) -> TokenStats:
        """What its tokens cost so far; see `core.token_stats`, which takes any credential."""
        return self._provider.stats()

    def close(self) -> None:
        """Does nothing: there is nothing to close. Here because azure-identity's credentials have it."""

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
        # It never changes, and a copy would have to fetch tokens of its own.
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
    """Stands for a credential's tokens of one tenant or for claims."""


class _NarrowedAssertion(_Narrowed):
    """The same of a `ClientAssertionCredential`, which makes the assertions."""

    def __init__(self, credential: ClientAssertionCredential, tenant_id: str | None, claims: str | None) -> None:
        self._answer = functools.partial(credential._answer, tenant_id=tenant_id, claims=claims)  # noqa: SLF001 - ours
        provider = credential._provider.narrowed(tenant_id=tenant_id, claims=claims)  # noqa: SLF001
        caller = AssertionCaller(provider, weakref.ref(self), "_answer")
        registry.keep(self, registry.Adopted(provider, caller))


class _Portable(_NativeCredential):
    """One without a secret: where it is unpickled, its like is made with the same arguments, and finds its own tokens.

    Only arguments that may be written to a disk or sent to another machine make a class a portable one.
    """

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    # Here and not in __init__, so that subclasses that take other arguments are made with theirs.
    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._arguments = tuple(map(_snapshot, args)), {name: _snapshot(value) for name, value in kwargs.items()}
        return self

    def __repr__(self) -> str:
        args, kwargs = self._arguments
        # A proxy's URL may hold a password.
        shown = [f"{name}={value!r}" for name, value in kwargs.items() if name != "proxies"]
        return f"{type(self).__name__}({', '.join([*map(repr, args), *shown])})"

    def __reduce__(self) -> str | tuple[Any, ...]:
        args, kwargs = self._arguments
        if _options.hold_secret(kwargs):
            message = f"{type(self).__name__} has proxies with a password, and so it cannot be pickled"
            raise TypeError(message)
        return _like, (type(self), args, kwargs)


class _NotGiven:
    """The default of an argument to which None means something else."""

    def __repr__(self) -> str:
        return "not given"


_NOT_GIVEN: Any = _NotGiven()


def _snapshot(value: Any) -> Any:
    """An argument as it is now, whatever its owner does to it later."""
    return value.copy() if isinstance(value, (dict, list)) else value


# By class and arguments. A scheduler's worker unpickles its credential anew with every task: if that were another
# object each time, or one that ended with the task, every task would fetch a token. They stay; configurations are few.
_unpickled: dict[Any, _NativeCredential] = {}


def _like(kind: type[_NativeCredential], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _NativeCredential:
    """The one credential of this process that is unpickled from these."""
    try:
        key = kind, _hashable(args), _hashable(kwargs)
        known = _unpickled.get(key)
    except TypeError:
        # A subclass's argument that cannot be compared.
        return kind(*args, **kwargs)
    # setdefault: threads may come here together.
    return _unpickled.setdefault(key, kind(*args, **kwargs)) if known is None else known


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((name, _hashable(item)) for name, item in value.items())
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value


class EnvironmentCredential(_Portable):
    """A service principal: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`.

    Or, instead of the secret, `AZURE_CLIENT_CERTIFICATE_PATH`, if needed with `AZURE_CLIENT_CERTIFICATE_PASSWORD` and
    `AZURE_CLIENT_SEND_CERTIFICATE_CHAIN`; see `CertificateCredential`.

    Args:
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(self, *, authority: str | None = None, **options: Any) -> None:
        super().__init__(
            TokenProvider.environment(authority=authority), _options.read("EnvironmentCredential", options)
        )


class ManagedIdentityCredential(_Portable):
    """The identity that Azure gave to the machine, container or app that this runs on.

    Args:
        client_id: client id of a user-assigned identity; by default the system-assigned one.
        object_id: its object (principal) id instead.
        resource_id: its Azure resource id instead.
        identity_config: the same as a dictionary with one of these keys, as azure-identity has it.
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
        super().__init__(TokenProvider.managed_identity(**named), _options.read("ManagedIdentityCredential", options))


class WorkloadIdentityCredential(_Portable):
    """Workload identity federation: exchanges Kubernetes' token for one of Entra ID.

    Args:
        tenant_id: directory (tenant) id; by default `AZURE_TENANT_ID`.
        client_id: application (client) id; by default `AZURE_CLIENT_ID`.
        token_file_path: file with Kubernetes' token, read at every fetch; by default `AZURE_FEDERATED_TOKEN_FILE`.
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
            TokenProvider.workload_identity(
                tenant_id=tenant_id, client_id=client_id, token_file_path=token_file_path, authority=authority
            ),
            _options.read("WorkloadIdentityCredential", options),
        )


class ClientSecretCredential(_NativeCredential):
    """A service principal with a client secret.

    Args:
        tenant_id: directory (tenant) id or domain.
        client_id: application (client) id.
        client_secret: a secret that was made for the application.
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(
        self, tenant_id: str, client_id: str, client_secret: str, *, authority: str | None = None, **options: Any
    ) -> None:
        super().__init__(
            TokenProvider.client_secret(tenant_id, client_id, client_secret, authority=authority),
            _options.read("ClientSecretCredential", options),
            tenant_id=tenant_id,
            client_id=client_id,
        )


class CertificateCredential(_NativeCredential):
    """A service principal with a certificate, which has an RSA key.

    Args:
        tenant_id: directory (tenant) id or domain.
        client_id: application (client) id.
        certificate_path: file with certificate and private key, PEM or PKCS#12; read at every fetch, as certificates
            are renewed.
        certificate_data: the content of such a file instead.
        password: what the private key is encrypted with.
        send_certificate_chain: send the certificates along, for applications that trust a subject name and issuer.
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(  # noqa: PLR0913 - azure-identity's
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
            TokenProvider.client_certificate(
                tenant_id,
                client_id,
                path=certificate_path,
                data=certificate_data,
                password=password.decode() if isinstance(password, bytes) else password,
                send_certificate_chain=send_certificate_chain,
                authority=authority,
            ),
            _options.read("CertificateCredential", options),
            tenant_id=tenant_id,
            client_id=client_id,
        )


ClientCertificateCredential = CertificateCredential
"""What Azure's other languages call it."""


class ClientAssertionCredential(_NativeCredential):
    """An application that says who it is by a JSON Web Token that others have signed, such as a federated identity.

    Args:
        tenant_id: directory (tenant) id or domain.
        client_id: application (client) id.
        func: returns the assertion; called on a thread of its own for each token that is fetched.
        authority: host of the Entra ID authority; by default `AZURE_AUTHORITY_HOST`, else the public cloud's.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(
        self, tenant_id: str, client_id: str, func: Callable[[], str], *, authority: str | None = None, **options: Any
    ) -> None:
        self._application = tenant_id, client_id
        self._func = func
        self._authority = authority
        provider = TokenProvider.client_assertion(tenant_id, client_id, authority=authority)
        self._client_options = _options.read("ClientAssertionCredential", options)
        caller = AssertionCaller(provider, weakref.ref(self), "_answer")
        super().__init__(registry.Adopted(provider, caller), tenant_id=tenant_id, client_id=client_id)

    def _narrowed(self, tenant_id: str | None, claims: str | None) -> object:
        return _NarrowedAssertion(self, tenant_id, claims)

    def _answer(self, fetch: Fetch, tenant_id: str | None = None, claims: str | None = None) -> None:
        assertion = self._func()
        if not isinstance(assertion, str) or not assertion:
            # Not the value: it may be one that others accept.
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


class AzurePipelinesCredential(_NativeCredential):
    """A service connection of Azure Pipelines with workload identity federation.

    Args:
        tenant_id: directory (tenant) id of the service connection.
        client_id: application (client) id of the service connection.
        service_connection_id: its id, the "resourceId" in its page's URL.
        system_access_token: the job's `System.AccessToken`.
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
            TokenProvider.azure_pipelines(
                tenant_id=tenant_id,
                client_id=client_id,
                service_connection_id=service_connection_id,
                system_access_token=system_access_token,
                authority=authority,
            ),
            _options.read("AzurePipelinesCredential", options),
            tenant_id=tenant_id,
            client_id=client_id,
        )


class AzureCliCredential(_Portable):
    """Whoever is signed in to the Azure CLI (`az login`).

    Args:
        tenant_id: tenant to get the token in; by default the CLI's own.
        subscription: name or id of the subscription whose account to use; by default the CLI's current one.
        process_timeout: seconds that `az` may take; by default 10. It is stopped then, with all it started.
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
            TokenProvider.azure_cli(tenant_id=tenant_id, subscription=subscription, process_timeout=process_timeout),
            _options.read("AzureCliCredential", options),
        )


class AzureDeveloperCliCredential(_Portable):
    """Whoever is signed in to the Azure Developer CLI (`azd auth login`).

    Args:
        tenant_id: tenant to get the token in; by default that of azd's environment.
        process_timeout: seconds that `azd` may take; by default 10. It is stopped then, with all it started.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(self, *, tenant_id: str | None = None, process_timeout: float | None = None, **options: Any) -> None:
        super().__init__(
            TokenProvider.azure_developer_cli(tenant_id=tenant_id, process_timeout=process_timeout),
            _options.read("AzureDeveloperCliCredential", options),
        )


class AzurePowerShellCredential(_Portable):
    """Whoever is signed in to Azure PowerShell (`Connect-AzAccount`), version 2.2 of its module Az.Accounts or later.

    Args:
        tenant_id: tenant to get the token in; by default that of the current context.
        process_timeout: seconds that `pwsh` may take; by default 10. It is stopped then, with all it started.
        options: further keywords of azure-identity, see this module.
    """

    def __init__(self, *, tenant_id: str | None = None, process_timeout: float | None = None, **options: Any) -> None:
        super().__init__(
            TokenProvider.azure_powershell(tenant_id=tenant_id, process_timeout=process_timeout),
            _options.read("AzurePowerShellCredential", options),
        )


class ChainedTokenCredential(_Portable):
    """Credentials tried in order; the first that gives a token is used from then on.

    One that is not set up on this machine is passed over; one that is set up and fails ends the search.

    Args:
        credentials: credentials of this module. For others, azure-identity's class of this name takes both.
    """

    def __init__(self, *credentials: _NativeCredential) -> None:
        if not credentials:
            message = "at least one credential is required"
            raise ValueError(message)
        for credential in credentials:
            if not isinstance(credential, _NativeCredential):
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
            if registry.adopt(credential) is not credential._tokens:  # noqa: SLF001 - its own kind
                message = (
                    f"{type(credential).__name__} overrides get_token or get_token_info, which a chain here does not "
                    f"call; azure.identity.ChainedTokenCredential does"
                )
                raise ValueError(message)
        links = [credential._provider for credential in credentials]  # noqa: SLF001 - its own kind
        super().__init__(TokenProvider.chain(links))


class DefaultAzureCredential(_Portable):
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

    _LINKS = (
        "environment",
        "workload_identity",
        "managed_identity",
        "cli",
        "powershell",
        "developer_cli",
        "shared_token_cache",
        "visual_studio_code",
        "interactive_browser",
        "broker",
    )
    _FURTHER = (
        "broker_client_id",
        "broker_tenant_id",
        "interactive_browser_client_id",
        "interactive_browser_tenant_id",
        "shared_cache_tenant_id",
        "shared_cache_username",
        "visual_studio_code_tenant_id",
    )

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
        excludes = {f"exclude_{link}_credential": link for link in self._LINKS}
        # What follows is for azure-identity's own, too.
        python = {keyword: value for keyword, value in further.items() if keyword not in excludes}
        options = {keyword: value for keyword, value in python.items() if keyword not in self._FURTHER}
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
                _options.read("DefaultAzureCredential", options, (*excludes, *self._FURTHER)),
                managed_identity_client_id=named,
                system_assigned=not of_environment and not named,
                workload_identity_client_id=workload_identity_client_id,
                workload_identity_tenant_id=workload_identity_tenant_id,
                authority=authority,
                process_timeout=process_timeout,
            )
        )
