"""azure-identity's default credential, the fallback when the native links of the default chain find no token.

It is imported only then. No other module uses it; the engine's side is `FallbackChain` in Rust.
"""

from __future__ import annotations

from azure_postgresql_auth._core import default_chain_links
from azure_postgresql_auth._engine.external import complete, in_thread, text_of

TYPE_CHECKING = False  # see "Start-up" in docs/architecture.md
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

    from azure_postgresql_auth._core import Fetch, TokenProvider

_DESCRIPTIONS: Final = dict(default_chain_links())

LINKS: Final = tuple(_DESCRIPTIONS)
"""The links of azure-identity's chain in order, as in `exclude_NAME_credential`."""

KEYWORDS: Final = (
    "broker_client_id",
    "broker_tenant_id",
    "interactive_browser_client_id",
    "interactive_browser_tenant_id",
    "shared_cache_tenant_id",
    "shared_cache_username",
    "visual_studio_code_tenant_id",
)
"""The keywords of azure-identity's `DefaultAzureCredential` for the links that only it has."""


class Fallback:
    """Makes the fetches that the native links hand over.

    Args:
        provider: the chain's tokens.
        links: names of the links to try, among those that only azure-identity has.
        keywords: further keywords for its `DefaultAzureCredential`.
        wanted: the keywords of its `get_token`.
    """

    __slots__ = ("_credential", "_keywords", "_links", "_provider", "_wanted")

    def __init__(
        self,
        provider: TokenProvider,
        links: Sequence[str],
        keywords: Mapping[str, object],
        wanted: Mapping[str, str | None] | None = None,
    ) -> None:
        self._provider = provider
        self._links = links
        self._keywords = keywords
        self._wanted = wanted or {}
        self._credential: Any = None

    def narrowed(self, provider: TokenProvider, **wanted: str | None) -> Fallback:
        """Return the same for the fetches of another provider, with these keywords of `get_token`."""
        return Fallback(provider, self._links, self._keywords, wanted)

    def make(self, *, blocking: bool) -> None:
        """Start the fetches that the engine has handed over.

        Args:
            blocking: the caller's thread is going to wait for the result.
        """
        for fetch in self._provider.take_fetches():
            in_thread("azure-pg-auth-fallback", self._ask, fetch, self._exhaust, blocking=blocking)

    def _ask(self, fetch: Fetch) -> None:
        try:
            if self._credential is None:
                self._credential = self._new()
            complete(fetch, self._credential.get_token(fetch.scope, **self._wanted))
        except ImportError:
            more = ", ".join(_DESCRIPTIONS[link] or link for link in self._links)
            self._provider.exhaust(fetch, f"not installed; `pip install azure-identity` would add {more}")
        except BaseException as error:  # noqa: BLE001 - it would end this thread only, while others wait
            self._exhaust(fetch, error)

    def _exhaust(self, fetch: Fetch, error: BaseException) -> None:
        self._provider.exhaust(fetch, _attempts_of(error))

    def _new(self) -> object:
        import logging  # noqa: PLC0415 - azure-identity imports it anyway

        from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - see above

        # Python prints the warnings of a logger without any handler, and what this one has to say is in our error.
        logging.getLogger("azure.identity").addHandler(logging.NullHandler())
        exclude = {f"exclude_{link}_credential": link not in self._links for link in LINKS}
        return DefaultAzureCredential(**exclude, **self._keywords)


def _attempts_of(error: BaseException) -> str:
    """Return the chain's report of each attempt, or else the whole text."""
    text = text_of(error)
    attempts = [line.strip() for line in text.splitlines() if line.startswith("\t")]
    return "\n".join(["returned no token either", *attempts]) if attempts else text or type(error).__name__
