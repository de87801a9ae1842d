"""The engine, in Rust. Its public faces are `core` and `identity`; nothing here is promised to stay."""

from collections.abc import Mapping, Sequence
from typing import Any, final

from azure_postgresql_auth.errors import Attempt

__all__ = [
    "ClientOptions",
    "ConnectionPlan",
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
    "entra_errors",
    "error_codes",
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

@final
class Login:
    """User and access token for one new connection. Its repr hides the token, and it cannot be pickled."""

    @property
    def user(self) -> str | None:
        """The PostgreSQL role that the token names; None where the caller has one."""
    @property
    def password(self) -> str:
        """The access token."""
    @property
    def expires_on(self) -> int:
        """End of the token's life in seconds since 1970."""
    def parameters(self) -> dict[str, str]:
        """User, where there is one, and password, as drivers take them."""

@final
class Driver:
    """A database driver: which settings it reads, and how it is told what was decided.

    Args:
        name: "libpq" (psycopg 3, psycopg2 and programs), "asyncpg" or "pg8000".
        azure_roots: path of the file with the roots of Azure's servers.
        libpq_version: libpq's version number, such as 170002.
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
            keywords: the driver's, without ours. Copied when the driver's arguments are made.
            url: what a connection string says, in libpq's terms; of asyncpg's also "authority", its host list.
            service: a section of a service file, where it was read already.
            scope: OAuth 2.0 scope of the token; by default that of the hosts' Azure cloud.
            allow_insecure_transport: TLS need not protect the token.
            is_opaque: where the driver will connect to cannot be told from its arguments.

        Raises:
            InsecureTransportError: the settings could send the token in the clear.
            ValueError: the hosts take tokens of different scopes.
        """

@final
class ConnectionPlan:
    """What one login decides about its connection, and all that the driver is told."""

    @property
    def user(self) -> str | None:
        """The caller's; None where the token names the user."""
    @property
    def user_known(self) -> bool:
        """The caller gives a user."""
    @property
    def password(self) -> Any:
        """The caller's: a string, or what a driver takes instead, such as a function."""
    @property
    def has_credentials(self) -> bool:
        """The caller gives user and password: a plain login that needs no token."""
    @property
    def scope(self) -> str:
        """OAuth 2.0 scope of the token; empty for a plain login."""
    @property
    def timeout(self) -> float | None:
        """Seconds that connecting may take."""
    @property
    def settings(self) -> dict[str, Any]:
        """What the driver is told beside its keywords and the login."""
    @property
    def tls(self) -> tuple[str, str | None] | None:
        """The `sslmode`, and the roots: a file, "system", or None for the driver's own.

        None where the caller's settings stay as they are.
        """
    @property
    def target(self) -> list[tuple[str, ...]] | None:
        """Hosts, addresses and ports; None where they cannot be determined."""
    @property
    def has_unresolved_service(self) -> bool:
        """A service is named whose section could not be read."""
    def parameters(self) -> dict[str, Any]:
        """Return the keywords, with the effective value of every libpq parameter that the plan knows."""
    def arguments(self, login: Login | None = None, seconds: float | None = None) -> dict[str, Any]:
        """Return the driver's keywords for one attempt to connect, limited to so many seconds."""

@final
class TokenStats:
    """What a credential's tokens cost so far, in this process and, before it was forked, in its parent.

    The counters only grow.
    """

    @property
    def requests(self) -> int:
        """Times that the identity service was asked for a token."""
    @property
    def hits(self) -> int:
        """Logins that a cached token served."""
    @property
    def refreshes(self) -> int:
        """Tokens that took the place of another."""
    @property
    def failures(self) -> int:
        """Requests that gave no token."""
    @property
    def refusals(self) -> int:
        """Times that a server refused a cached token."""
    @property
    def expires_on(self) -> dict[str, int]:
        """End of the current token's life in seconds since 1970, by scope."""

@final
class ClientOptions:
    """Options of a credential's HTTP client, and the tenants it may be asked for.

    Args:
        proxy: URL of the proxy for requests to Entra ID, instead of the environment's.
        no_proxy: no proxy at all.
        ca_bundle: PEM file, or directory of them, with the certification authorities to trust.
        connect_timeout: seconds that connecting may take.
        read_timeout: seconds that the service may be silent.
        additional_tenants: tenants that tokens may be asked for besides the credential's own; "*" for all.

    Raises:
        ValueError: a value cannot be right.
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
class TokenProvider:
    """A credential and its tokens, by scope. Serves any number of threads and event loops, and survives forks."""

    @staticmethod
    def environment(*, authority: str | None = None) -> TokenProvider: ...
    @staticmethod
    def managed_identity(
        *, client_id: str | None = None, object_id: str | None = None, resource_id: str | None = None
    ) -> TokenProvider: ...
    @staticmethod
    def workload_identity(
        *,
        tenant_id: str | None = None,
        client_id: str | None = None,
        token_file_path: str | None = None,
        authority: str | None = None,
    ) -> TokenProvider: ...
    @staticmethod
    def client_secret(
        tenant_id: str, client_id: str, client_secret: str, *, authority: str | None = None
    ) -> TokenProvider: ...
    @staticmethod
    def azure_cli(
        *, tenant_id: str | None = None, subscription: str | None = None, process_timeout: float | None = None
    ) -> TokenProvider: ...
    @staticmethod
    def azure_developer_cli(*, tenant_id: str | None = None, process_timeout: float | None = None) -> TokenProvider: ...
    @staticmethod
    def azure_powershell(*, tenant_id: str | None = None, process_timeout: float | None = None) -> TokenProvider: ...
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
    ) -> TokenProvider: ...
    @staticmethod
    def client_assertion(tenant_id: str, client_id: str, *, authority: str | None = None) -> TokenProvider:
        """The tokens of an application whose assertions Python makes, see `take_fetches` and `Fetch.exchange`."""
    @staticmethod
    def azure_pipelines(
        *,
        tenant_id: str,
        client_id: str,
        service_connection_id: str,
        system_access_token: str,
        authority: str | None = None,
    ) -> TokenProvider: ...
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
    ) -> tuple[TokenProvider, list[str]]:
        """The default chain, and the names of the links that are wanted but only azure-identity has.

        If there are such, Python is asked for a token (`take_fetches`) when the native links have none.

        Args:
            excluded: names of links as in `exclude_NAME_credential`, and whether the caller excludes them.
            system_assigned: the managed identity is the system-assigned one, whatever `AZURE_CLIENT_ID` says.

        Raises:
            ValueError: `AZURE_TOKEN_CREDENTIALS` means nothing, or no link is left.
        """
    def configured(self, options: ClientOptions) -> TokenProvider:
        """Return the same credential with options."""
    def narrowed(self, *, tenant_id: str | None = None, claims: str | None = None) -> TokenProvider:
        """Return the same credential for tokens of one tenant, or that satisfy claims; with a cache of its own.

        Raises:
            ValueError: `tenant_id` is none.
        """
    @staticmethod
    def chain(links: Sequence[TokenProvider]) -> TokenProvider: ...
    @staticmethod
    def python(class_: str, /) -> TokenProvider:
        """The tokens of a credential object of this class that Python calls, see `take_fetches`."""
    def login(self, scope: str, user_known: bool = False) -> Login | PendingLogin:
        """The login if it is cached, else one to wait for (as where `take_log_records` has something).

        Both may leave something in `take_fetches`.

        Args:
            scope: OAuth 2.0 scope, e.g. "https://ossrdbms-aad.database.windows.net/.default".
            user_known: the token's claims are not looked at, and the login has no user.
        """
    def default_scope(self) -> str:
        """OAuth 2.0 scope for who names none: that of the cloud that `AZURE_AUTHORITY_HOST` named at the first call."""
    def conninfo(self) -> dict[str, str] | None:
        """User and password for the default scope, as a new dictionary, if they are cached and nothing is to be done.

        `login` finds the same; this is for who cannot wait for an argument to be passed. None before the first login.
        """
    def login_instead_of(self, scope: str, user_known: bool, refused: str) -> PendingLogin:
        """A login to wait for, instead of one whose token the server refused.

        It is another if there is one, or fetched now; the refused token serves on until that has succeeded. It fails
        where this was tried just now.
        """
    def accepted(self, scope: str) -> None:
        """The server took what `login_instead_of` gave."""
    def attempts(self) -> tuple[Attempt, ...]:
        """Return the credentials that a chain asked in its last search for one that gives tokens, and their answers."""
    def stats(self) -> TokenStats:
        """What the tokens cost so far."""
    def take_fetches(self) -> list[Fetch]:
        """What Python has to ask its credential object for now; each has to be answered."""
    def exhaust(self, fetch: Fetch, reason: str) -> None:
        """What Python asked last had nothing either: ends `fetch` with all that was tried. The next begins anew."""

@final
class PendingLogin:
    """A login that is waited for. Dropping it ends only this wait."""

    def poll(self, wakeup: WakeupFd | None, key: int) -> Login | None:
        """Return the login, or None: then `wakeup` becomes readable when the wait `key` is over.

        May leave something in `TokenProvider.take_fetches`.

        Raises:
            EntraConnectionValueError: no token could be had; the message lists every attempt.
            TokenDecodeError, UsernameExtractionError, ScopePermissionError: there is a token, but no user.
            Exception: what a credential object raised itself.
        """
    @property
    def waited(self) -> bool:
        """Whether the first look did not find it: then its token is as good as new."""
    def set_timeout(self, timeout: float) -> None:
        """State how long the caller waits; to be called once, before the first look.

        Args:
            timeout: seconds. Where the service throttles requests for longer, the login fails at once.

        Raises:
            ValueError: not a number of seconds, 0 or more.
        """
    def timed_out(self, timeout: float) -> BaseException:
        """What to raise when the caller's time is over: how far the fetch has come, and since when renewal fails."""

@final
class Fetch:
    """The right and the duty to call a credential once. Dropped unanswered, it passes to somebody else who waits.

    Only the first answer counts.
    """

    @property
    def scope(self) -> str:
        """The scope to ask for."""
    def complete(self, token: str, expires_on: float, refresh_on: float | None = None) -> None:
        """The credential gave a token; times in seconds since 1970."""
    def fail(self, exception: BaseException, message: str) -> None:
        """The credential raised; `message` says it in words."""
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
        """Has the engine exchange an assertion, made for this fetch, for the token."""
    def abandon(self) -> None:
        """Nobody will ask: one of those who wait takes over."""

@final
class WakeupFd:
    """A socket that becomes readable when a wait is over; one serves a whole event loop."""

    def __new__(cls) -> WakeupFd: ...
    def fileno(self) -> int:
        """To watch; -1 once it is closed or detached."""
    def detach(self) -> int:
        """The socket's number, for the caller to read from and to close."""
    def close(self) -> None:
        """Closes the socket, if it is not detached."""
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
        user: str | None = None,
        database: str | None = None,
        password_file: str | None = None,
        certificate: tuple[str, str] | None = None,
        allow_remote: bool = False,
        max_connections: int = 1000,
        client_timeout: float = 10.0,
        login_timeout: float = 30.0,
        http: int | None = None,
        health_file: str | None = None,
        debug: bool = False,
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
    """The claims of a JWT, unverified: the server verifies the token, this only looks into it.

    Raises:
        TokenDecodeError: it is no JWT; the text begins "Invalid JWT token format" and says which step failed.
    """

def parse_principal_name(xms_mirid: str | None) -> str | None:
    """Name of the user-assigned managed identity that an `xms_mirid` claim names; None for every other resource."""

def principal_of(token: str) -> tuple[str, str] | None:
    """The claim that names the user of a token, and the user; None where no claim does.

    Raises:
        TokenDecodeError: it is no JWT.
    """

def guest_of(token: str) -> tuple[str, str] | None:
    """Return the home account that a guest's token names, and the form of its role's name; None for everybody else.

    Raises:
        TokenDecodeError: it is no JWT.
    """

def is_azure_server(host: str) -> bool:
    """Whether a host is named like an Azure Database for PostgreSQL, in any cloud."""

def is_database_scope(scope: str) -> bool:
    """Whether tokens of this scope are for PostgreSQL servers of Azure, in any cloud, and for nothing else."""

def scope_for(hosts: Sequence[str]) -> str:
    """OAuth 2.0 scope of the tokens that these servers take.

    By the hosts' names, else by `AZURE_AUTHORITY_HOST`, else the public cloud's.

    Raises:
        ValueError: the hosts belong to different clouds.
    """

def take_log_records() -> list[tuple[float, int, str]]:
    """What happened to tokens since the last call: when (seconds since 1970), level as in `logging`, text."""

def error_codes() -> list[tuple[str, str, str, str]]:
    """Return the codes that error reports have: name, exception, meaning and remedy of each."""

def attempt_statuses() -> list[tuple[str, str]]:
    """Return the statuses of attempts, with their meaning."""

def entra_errors() -> list[tuple[int, str, str]]:
    """Return the refusals of Entra ID that are known: AADSTS number, meaning and remedy of each."""

def value_defect(value: str) -> str | None:
    """What is odd about a value that is written without white space and quotation marks; None if nothing is.

    The text follows the value's name ("X ends with a line break, …") and never shows the value.
    """

def stop_commands() -> None:
    """Ends the command lines that are being asked for tokens, for a process that ends."""
