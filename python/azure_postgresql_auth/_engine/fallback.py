"""azure-identity's own default credential, asked when the native links of ours have nothing.

It is not imported before that, and never where there is a login without it.
"""

from __future__ import annotations

import threading

from azure_postgresql_auth._engine.external import complete, text_of

TYPE_CHECKING = False  # see "Start-up" in docs/architecture.md
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

    from azure_postgresql_auth._core import Fetch, TokenProvider

_NATIVE: Final = ("environment", "workload_identity", "managed_identity", "cli", "powershell", "developer_cli")
_EXTERNAL: Final = {
    "shared_token_cache": "the shared token cache",
    "visual_studio_code": "Visual Studio Code",
    "interactive_browser": "a browser",
    "broker": "the account broker of Windows and WSL",
}


class Fallback:
    """Makes the fetches that a chain of ours hands over.

    Args:
        links: names of the credentials to ask, of those that only azure-identity has.
        keywords: further ones for its `DefaultAzureCredential`.
        wanted: those of its `get_token`.
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
        """Return the same for the fetches of another provider, which want a tenant or claims."""
        return Fallback(provider, self._links, self._keywords, wanted)

    def make(self, *, blocking: bool) -> bool:
        """Begins what is asked for; tells whether there was any.

        Args:
            blocking: the caller's thread will do nothing else until it is there.
        """
        fetches = self._provider.take_fetches()
        for fetch in fetches:
            thread = threading.Thread(target=self._ask, args=(fetch,), name="azure-pg-auth-fallback", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if blocking:
                    self._ask(fetch)
                else:
                    self._provider.exhaust(fetch, text_of(error))
        return bool(fetches)

    def _ask(self, fetch: Fetch) -> None:
        try:
            if self._credential is None:
                self._credential = self._new()
            complete(fetch, self._credential.get_token(fetch.scope, **self._wanted))
        except ImportError:
            more = ", ".join(_EXTERNAL[link] for link in self._links)
            self._provider.exhaust(fetch, f"not installed; `pip install azure-identity` would add {more}")
        except BaseException as error:  # noqa: BLE001 - it would end this thread alone, and those who wait are others
            self._provider.exhaust(fetch, _attempts_of(error))

    def _new(self) -> object:
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - see above

        exclude = {f"exclude_{link}_credential": link not in self._links for link in (*_NATIVE, *_EXTERNAL)}
        return DefaultAzureCredential(**exclude, **self._keywords)


def _attempts_of(error: BaseException) -> str:
    """What its chain says of each attempt, or else all of it."""
    text = text_of(error)
    attempts = [line.strip() for line in text.splitlines() if line.startswith("\t")]
    return "\n  ".join(["had no token either", *attempts]) if attempts else text or type(error).__name__
