"""The engine, in Rust. Internal: the public API is `core` and `identity`."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, final

from azure_postgresql_auth.errors import Attempt

__all__ = [
    "LOGIN_TIMEOUT",
    "ClientOptions",
    "ConnectionPlan",
    "Credential",
    "Driver",
    "Fetch",
    "Login",
    "PendingLogin",
    "Proxy",
    "TokenProvider",
    "TokenStats",
    "WakeupFd",
    "attempt_statuses",
    "decode_jwt",
    "default_chain_links",
    "entra_errors",
    "environment_variables",
    "error_codes",
    "folder_defect",
    "guest_of",
    "is_azure_server",
    "is_database_scope",
    "parse_principal_name",
    "principal_of",
    "scope_for",
    "stop_commands",
    "take_log_records",
    "value_defect",
]

LOGIN_TIMEOUT: float
"""How long a login waits for its token unless the caller sets a limit, in seconds."""

@final
class Login:
    """The user and the access token for one new connection. Its repr hides the token, and it cannot be pickled."""

    @property
    def user(self) -> str | None:
        """The PostgreSQL role that the token names; None if the caller knows the user."""
    @property
    def password(self) -> str:
        """The access token, a string whose repr hides it."""
    @property
    def expires_on(self) -> int:
        """When the token expires, in seconds since 1970."""
    def parameters(self) -> dict[str, str]:
        """Return a new dictionary with "password" and, unless it is None, "user"."""

@final
class Driver:
    """A database driver: which settings it reads, and in which keywords it takes the plan's decisions.

    Args:
        name: "libpq" (psycopg 3, psycopg2 and programs), "asyncpg" or "pg8000".
        azure_roots: path of the PEM file with the root certificates of Azure's servers.
        libpq_version: libpq's version number, such as 170002.

    Raises:
        ValueError: `name` is another one.
    """

    def __new__(cls, name: str, azure_roots: str, /, libpq_version: int = 0) -> Driver: ...
    def plan(
        self,
        keywords: dict[str, Any],
        url: Mapping[str, Any] | None = None,
        service: dict[str, Any] | None = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,
        is_opaque: bool = False,
    ) -> ConnectionPlan:
        """Decide about one connection.

        Args:
            keywords: the driver's keywords, without those of this package. They are copied when `arguments` is called.
            url: the parameters of a connection string, by libpq's names; for asyncpg also "authority", its host list.
            service: the section of a service file, if it has been read already.
            scope: OAuth 2.0 scope of the token; by default that of the hosts' Azure cloud.
            allow_insecure_transport: permit a connection on which TLS does not protect the token.
            is_opaque: the driver's arguments do not show where it will connect to.

        Raises:
            InsecureTransportError: the settings could send the token unencrypted.
            ValueError: the hosts belong to different clouds, or a port is not a number.
        """

@final
class ConnectionPlan:
    """The decisions about one connection, and everything that the driver is given."""

    @property
    def user(self) -> str | None:
        """The user that the caller gives; None if the token names the user."""
    @property
    def user_known(self) -> bool:
        """Whether the caller gives a user."""
    @property
    def password(self) -> Any:
        """The caller's password: a string, or an object that the driver takes instead, such as a function; or None."""
    @property
    def has_credentials(self) -> bool:
        """Whether the caller gives both user and password: then the login needs no token."""
    @property
    def scope(self) -> str:
        """OAuth 2.0 scope of the token; empty if the login needs none."""
    @property
    def timeout(self) -> float | None:
        """Seconds that connecting may take; None for no limit."""
    @property
    def settings(self) -> dict[str, Any]:
        """The keywords that are set in addition to the caller's and to the login's."""
    @property
    def tls(self) -> tuple[str, str | None] | None:
        """The `sslmode`, and the root certificates: a file, "system", or None for the driver's own.

        None if the caller's settings apply unchanged.
        """
    @property
    def target(self) -> list[tuple[str, ...]] | None:
        """Hosts, addresses and ports; None if they cannot be determined."""
    @property
    def has_unresolved_service(self) -> bool:
        """Whether a service is named whose section could not be read."""
    def parameters(self) -> dict[str, Any]:
        """Return the keywords, with the effective value of every libpq parameter that the plan knows."""
    def arguments(self, login: Login | None = None, seconds: float | None = None) -> dict[str, Any]:
        """Return the driver's keywords for one attempt to connect, as a new dictionary.

        Args:
            login: the user and the token, unless the caller gives both user and password.
            seconds: limit for this attempt; libpq takes whole seconds, 1 or more.
        """

@final
class TokenStats:
    """Counters of a credential's tokens, in this process and, before it was forked, in its parent. They only grow."""

    @property
    def requests(self) -> int:
        """Requests to the identity service or to the credential object."""
    @property
    def hits(self) -> int:
        """Logins that a cached token served."""
    @property
    def refreshes(self) -> int:
        """Tokens that replaced another."""
    @property
    def failures(self) -> int:
        """Requests that failed."""
    @property
    def refusals(self) -> int:
        """Cached tokens that a server refused."""
    @property
    def expires_on(self) -> dict[str, int]:
        """When each current token expires, in seconds since 1970, by scope."""

@final
class ClientOptions:
    """Options of a credential's HTTP client, and the tenants that tokens may be requested for.

    Args:
        proxy: URL of the proxy for requests to Entra ID, instead of the environment's.
        no_proxy: use no proxy.
        ca_bundle: PEM file, or directory of PEM files, with the certification authorities to trust.
        connect_timeout: seconds that connecting may take; by default 10.
        read_timeout: seconds that the service may be silent; by default only the whole fetch is limited.
        additional_tenants: tenants besides the credential's own; "*" for all.

    Raises:
        ValueError: a value is invalid.
    """

    def __new__(
        cls,
        *,
        proxy: str | None = None,
        no_proxy: bool = False,
        ca_bundle: str | None = None,
        connect_timeout: float | None = None,
        read_timeout: float | None = None,
        additional_tenants: Sequence[str] = ...,
    ) -> ClientOptions: ...

@final
class Credential:
    """Where tokens come from: the engine, or a credential object that Python calls. Immutable, and without a cache.

    The constructors raise ValueError if an argument is invalid. `identity` documents their arguments.
    """

    @staticmethod
    def environment(*, authority: str | None = None) -> Credential: ...
    @staticmethod
    def managed_identity(
        *, client_id: str | None = None, object_id: str | None = None, resource_id: str | None = None
    ) -> Credential: ...
    @staticmethod
    def workload_identity(
        *,
        tenant_id: str | None = None,
        client_id: str | None = None,
        token_file_path: str | None = None,
        authority: str | None = None,
    ) -> Credential: ...
    @staticmethod
    def client_secret(
        tenant_id: str, client_id: str, client_secret: str, *, authority: str | None = None
    ) -> Credential: ...
    @staticmethod
    def azure_cli(
        *, tenant_id: str | None = None, subscription: str | None = None, process_timeout: float | None = None
    ) -> Credential: ...
    @staticmethod
    def azure_developer_cli(*, tenant_id: str | None = None, process_timeout: float | None = None) -> Credential: ...
    @staticmethod
    def azure_powershell(*, tenant_id: str | None = None, process_timeout: float | None = None) -> Credential: ...
    @staticmethod
    def client_certificate(
        tenant_id: str,
        client_id: str,
        *,
        path: str | None = None,
        data: bytes | None = None,
        password: str | None = None,
        send_certificate_chain: bool = False,
        authority: str | None = None,
    ) -> Credential: ...
    @staticmethod
    def client_assertion(tenant_id: str, client_id: str, *, authority: str | None = None) -> Credential:
        """Return an application whose assertions Python makes; see `TokenProvider.take_fetches`, `Fetch.exchange`."""
    @staticmethod
    def azure_pipelines(
        *,
        tenant_id: str,
        client_id: str,
        service_connection_id: str,
        system_access_token: str,
        authority: str | None = None,
    ) -> Credential: ...
    @staticmethod
    def default_chain(
        *,
        excluded: Sequence[tuple[str, bool]],
        managed_identity_client_id: str | None = None,
        system_assigned: bool = False,
        workload_identity_client_id: str | None = None,
        workload_identity_tenant_id: str | None = None,
        authority: str | None = None,
        process_timeout: float | None = None,
    ) -> tuple[Credential, list[str]]:
        """Return the default chain, and the names of the selected links that only azure-identity has.

        If there are such links, Python makes the fetches for which the native links find no token; see
        `TokenProvider.take_fetches`.

        Args:
            excluded: names of links, as in `exclude_NAME_credential`, and whether the caller excludes them.
            system_assigned: use the system-assigned identity, whatever `AZURE_CLIENT_ID` says.

        Raises:
            ValueError: `AZURE_TOKEN_CREDENTIALS` has an unknown value, or no link is left.
        """
    @staticmethod
    def chain(links: Sequence[Credential]) -> Credential:
        """Return a chain of native credentials.

        Raises:
            ValueError: a link is not a native credential.
        """
    @staticmethod
    def external(class_: str, /) -> Credential:
        """Return a credential object of this class, which Python calls; see `TokenProvider.take_fetches`."""
    def configured(self, options: ClientOptions) -> Credential:
        """Return the same credential with options."""
    def narrowed(self, *, tenant_id: str | None = None, claims: str | None = None) -> Credential:
        """Return the same credential for tokens of one tenant, or for tokens that satisfy claims.

        Args:
            claims: the claims of a challenge, as JSON.

        Raises:
            ValueError: `tenant_id` is not a tenant id or domain.
        """

@final
class TokenProvider:
    """The tokens of one credential, by scope. Serves any number of threads and event loops, and survives forks."""

    def __new__(cls, credential: Credential, /) -> TokenProvider: ...
    @property
    def credential(self) -> Credential:
        """Where the tokens come from."""
    def login(self, scope: str, user_known: bool = False) -> Login | PendingLogin:
        """Return the login if it is cached, else a pending one.

        It is also pending if `take_log_records` has something to return. May add to `take_fetches`.

        Args:
            scope: OAuth 2.0 scope, e.g. "https://ossrdbms-aad.database.windows.net/.default".
            user_known: do not read the token's claims; the login has no user.
        """
    def default_scope(self) -> str:
        """Return the OAuth 2.0 scope of the cloud that `AZURE_AUTHORITY_HOST` names at the first call."""
    def conninfo(self) -> dict[str, str] | None:
        """Return user and password for the default scope as a new dictionary, if they are cached.

        None if anything is due, such as a renewal or log records, and before the first call of `default_scope`. `login`
        finds the same; this method exists because passing an argument costs more than the look-up.
        """
    def login_instead_of(self, scope: str, user_known: bool, refused: str) -> PendingLogin:
        """Return a pending login with another token than the one that the server refused.

        The token is the one that has replaced it meanwhile, or a new one. The refused token stays in use until the new
        one is there. The login fails if a token was replaced in this way a moment ago.

        Args:
            refused: the refused token.
        """
    def accepted(self, scope: str) -> None:
        """State that the server accepted the login that `login_instead_of` returned."""
    def attempts(self) -> tuple[Attempt, ...]:
        """Return the credentials that a chain asked in its last search for one that gives tokens, and their answers."""
    def stats(self) -> TokenStats:
        """Return the counters."""
    def take_fetches(self) -> list[Fetch]:
        """Return the fetches that Python must make now. Each must be completed, failed, exchanged or abandoned."""
    def exhaust(self, fetch: Fetch, reason: str) -> None:
        """End a fetch for which azure-identity found no token either, with an error that lists all attempts.

        The next fetch begins with the native links again.
        """

@final
class PendingLogin:
    """A login that the caller waits for. Dropping it ends only this wait."""

    def poll(self, wakeup: WakeupFd | None, key: int) -> Login | None:
        """Return the login, or None: then `wakeup` becomes readable when the wait `key` ends.

        May add to `TokenProvider.take_fetches`.

        Raises:
            EntraConnectionValueError: no token could be obtained; the message lists every attempt.
            TokenDecodeError, UsernameExtractionError, ScopePermissionError: the token does not lead to a user.
            Exception: what a credential object raised.
            RuntimeError: an earlier poll has returned or raised the result.
        """
    @property
    def scope(self) -> str:
        """The scope of its token."""
    @property
    def waited(self) -> bool:
        """Whether a poll returned None: then the token is new, and not from the cache."""
    def set_timeout(self, timeout: float) -> None:
        """State how long the caller waits. Call it once, before the first poll.

        If the service throttles requests for longer, the login fails at once.

        Args:
            timeout: seconds.

        Raises:
            ValueError: `timeout` is negative or not a number.
        """
    def timed_out(self, timeout: float) -> BaseException:
        """Return the exception for a caller whose timeout has passed: it states how far the fetch has come.

        Args:
            timeout: seconds that the caller waited.

        Raises:
            ValueError: `timeout` is negative or not a number.
        """

@final
class Fetch:
    """The right and the duty to call a credential once. If it is dropped, another waiter takes over.

    Only the first answer counts.
    """

    @property
    def scope(self) -> str:
        """The OAuth 2.0 scope to request.

        Raises:
            RuntimeError: the fetch has been answered.
        """
    def is_for(self, scope: str) -> bool:
        """Return whether it has not been answered, and is for this scope."""
    def complete(self, token: str, expires_on: float, refresh_on: float | None = None) -> None:
        """Answer with a token.

        Args:
            expires_on: seconds since 1970. If that is no date (0, -1, `sys.maxsize`), the token's `exp` holds; without
                one, the token lives 366 days if the number was positive, else 60 s.
            refresh_on: seconds since 1970; when the issuer asks for renewal.
        """
    def fail(self, exception: BaseException, message: str) -> None:
        """Answer with the exception that the credential raised, and its text."""
    def exchange(
        self,
        tenant_id: str,
        client_id: str,
        assertion: str,
        *,
        authority: str | None = None,
        options: ClientOptions | None = None,
        other_tenant_id: str | None = None,
        claims: str | None = None,
    ) -> None:
        """Let the engine exchange an assertion, made for this fetch, for the token.

        Args:
            other_tenant_id: request the token in this tenant instead.
            claims: the claims of a challenge, as JSON, that the token is to satisfy.

        Raises:
            ValueError: `authority` is invalid.
        """
    def abandon(self) -> None:
        """Give the fetch up: one of the waiters takes over."""

@final
class WakeupFd:
    """A socket that becomes readable when a wait ends; one serves a whole event loop."""

    @staticmethod
    def for_loop() -> WakeupFd:
        """Return one for an event loop, which is woken at once."""
    @staticmethod
    def for_thread() -> WakeupFd:
        """Return one for a thread; of many threads, a few are woken at a time."""
    def fileno(self) -> int:
        """To watch; -1 once it is closed or detached."""
    def detach(self) -> int:
        """Return the socket's number, for the caller to read from and to close."""
    def close(self) -> None:
        """Close the socket and the engine's end of it. One that is detached is left open."""
    def drain(self) -> list[int]:
        """Keys of the waits that are over."""

@final
class Proxy:
    """A running proxy, whose threads never touch Python."""

    def __new__(
        cls,
        provider: TokenProvider,
        servers: Sequence[tuple[str, str, int, str, str, Sequence[int]]],
        *,
        user: str | None,
        database: str | None,
        password_file: str | None,
        certificate: tuple[str, str] | None,
        allow_remote: bool,
        max_connections: int,
        client_timeout: float,
        login_timeout: float,
        http: int | None,
        health_file: str | None,
        debug: bool,
    ) -> Proxy:
        """Begin to serve.

        Args:
            provider: a native credential.
            servers: name, host, port, scope, PEM file of root certificates, and descriptors of listening sockets,
                which become the proxy's.
            user: the only role that clients may log in as.
            database: the only database that they may use.
            password_file: lines of USER:PASSWORD that clients must know.
            certificate: files of the certificate and the key for TLS towards clients.
            allow_remote: sockets may be reached from other machines.
            max_connections: connections at once.
            client_timeout: seconds until a client has said who it is.
            login_timeout: seconds that a login may take after that.
            http: descriptor of a listening socket for probes and Prometheus.
            health_file: a file that is there while the proxy is ready.
            debug: log every connection.

        Raises:
            ValueError: settings that do not go together, or a file that cannot be used.
        """
    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the proxy has ended."""
    def reload(self) -> bool:
        """Read passwords and certificates again, for new connections, and log what comes of it.

        Returns:
            Whether all files could be used; otherwise none of them is.
        """
    def stop(self, grace: float) -> None:
        """Take no more clients, and end when those that are there have, or after `grace` seconds.

        A later call's `grace` counts from then.
        """
    def join(self) -> None:
        """Wait for the end.

        Raises:
            RuntimeError: a thread failed.
        """

def decode_jwt(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, without verifying it: the server verifies tokens.

    Raises:
        TokenDecodeError: `token` is not a JWT; the text begins "Invalid JWT token format" and names the step that
            failed.
    """

def parse_principal_name(xms_mirid: str | None) -> str | None:
    """Return the name of the user-assigned managed identity in an `xms_mirid` claim; None for any other resource."""

def principal_of(token: str) -> tuple[str, str] | None:
    """Return the claim that names a token's user, and the user; None if no claim does.

    Raises:
        TokenDecodeError: `token` is not a JWT.
    """

def guest_of(token: str) -> tuple[str, str] | None:
    """Return the home account that a guest's token names, and the form of its role's name; None for other tokens.

    Raises:
        TokenDecodeError: `token` is not a JWT.
    """

def is_azure_server(host: str) -> bool:
    """Return whether a host has the name of an Azure Database for PostgreSQL, in any cloud."""

def is_database_scope(scope: str) -> bool:
    """Return whether tokens of this scope are for Azure Database for PostgreSQL, in any cloud, and for nothing else."""

def scope_for(hosts: Sequence[str]) -> str:
    """Return the OAuth 2.0 scope of the tokens that these servers accept.

    It follows from the hosts' names, else from `AZURE_AUTHORITY_HOST`, else it is the public cloud's.

    Raises:
        ValueError: the hosts belong to different clouds.
    """

def default_chain_links() -> list[tuple[str, str | None]]:
    """Return the default chain's links in order: name, and for one that only azure-identity has, its description."""

def take_log_records() -> list[tuple[float, int, str]]:
    """Return the log records since the last call: seconds since 1970, level as in `logging`, message."""

def environment_variables() -> list[tuple[str, str, str, str, str, str]]:
    """Return the environment variables that are read: section, name, meaning, default, reader and source of each."""

def error_codes() -> list[tuple[str, str, str, str]]:
    """Return the codes that error reports have: name, exception, meaning and remedy of each."""

def attempt_statuses() -> list[tuple[str, str]]:
    """Return the statuses of attempts, with their meaning."""

def entra_errors() -> list[tuple[int, str, str]]:
    """Return the refusals of Entra ID that are known: AADSTS number, meaning and remedy of each."""

def folder_defect(folder: str | PathLike[str]) -> str | None:
    """Return why a folder is not private to this user, as the rest of a sentence about it, or None."""

def value_defect(value: str) -> str | None:
    """Return what is wrong with a value around which white space and quotation marks do not belong, or None.

    The text follows the value's name ("X ends with a line break, …") and never shows the value.
    """

def stop_commands() -> None:
    """End the command lines that are running for a token, because the process ends."""
