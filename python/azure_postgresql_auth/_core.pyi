"""The engine, in Rust. Its public faces are `core` and `identity`; nothing here is promised to stay."""

from collections.abc import Sequence
from typing import Any, final

__all__ = [
    "Bell",
    "Fetch",
    "Login",
    "PendingLogin",
    "TokenProvider",
    "decode_jwt",
    "is_azure_server",
    "parse_principal_name",
    "scope_for",
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
    def default_chain(
        *,
        exclude: Sequence[str],
        managed_identity_client_id: str | None = None,
        workload_identity_client_id: str | None = None,
        authority: str | None = None,
        process_timeout: float | None = None,
    ) -> TokenProvider:
        """The default chain without the links in `exclude`.

        Args:
            exclude: of environment, workload_identity, managed_identity, cli, developer_cli.
        """
    @staticmethod
    def chain(links: Sequence[TokenProvider]) -> TokenProvider: ...
    @staticmethod
    def python() -> TokenProvider:
        """The tokens of a credential object that Python calls, see `take_fetches`."""
    def login(self, scope: str, user_known: bool = False) -> Login | PendingLogin:
        """The login if it is cached, else one to wait for. Both may leave something in `take_fetches`.

        Args:
            scope: OAuth 2.0 scope, e.g. "https://ossrdbms-aad.database.windows.net/.default".
            user_known: the token's claims are not looked at, and the login has no user.
        """
    def take_fetches(self) -> list[Fetch]:
        """What Python has to ask its credential object for now; each has to be answered."""

@final
class PendingLogin:
    """A login that is waited for. Dropping it ends only this wait."""

    def poll(self, bell: Bell | None, key: int) -> Login | None:
        """The login, or None: then `bell` will ring for `key`. May leave something in `TokenProvider.take_fetches`.

        Raises:
            EntraConnectionValueError: no token could be had; the message lists every attempt.
            TokenDecodeError, UsernameExtractionError, ScopePermissionError: there is a token, but no user.
            Exception: what a credential object raised itself.
        """
    @staticmethod
    def timed_out(timeout: float) -> BaseException:
        """What to raise when the caller's time is over.

        Raises:
            ValueError: the timeout is no number of seconds.
        """

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
    def abandon(self) -> None:
        """Nobody will ask: one of those who wait takes over."""

@final
class Bell:
    """A file descriptor that becomes readable when a wait is over; one serves a whole event loop."""

    def __new__(cls) -> Bell: ...
    def fileno(self) -> int:
        """To watch; -1 once it is closed."""
    def close(self) -> None:
        """Closes the descriptor."""
    def drain(self) -> list[int]:
        """Keys of the waits that are over."""

def decode_jwt(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified: the server verifies the token, this only looks into it.

    Raises:
        TokenDecodeError: it is no JWT; the text begins "Invalid JWT token format" and says which step failed.
    """

def parse_principal_name(xms_mirid: str | None) -> str | None:
    """Name of the user-assigned managed identity that an `xms_mirid` claim names; None for every other resource."""

def is_azure_server(host: str) -> bool:
    """Whether a host is named like an Azure Database for PostgreSQL, in any cloud."""

def scope_for(hosts: Sequence[str]) -> str:
    """OAuth 2.0 scope of the tokens that these servers take.

    By the hosts' names, else by `AZURE_AUTHORITY_HOST`, else the public cloud's.

    Raises:
        ValueError: the hosts belong to different clouds.
    """
