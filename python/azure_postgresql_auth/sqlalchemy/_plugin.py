"""The engine plugin `entra`: logins for programs that are configured only by a connection URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exc
from sqlalchemy.engine import CreateEnginePlugin

from azure_postgresql_auth import identity
from azure_postgresql_auth._engine.connect import Options
from azure_postgresql_auth.sqlalchemy._engine_login import EngineLogin, set_login
from azure_postgresql_auth.sqlalchemy._url_rules import is_plugin_parameter

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from sqlalchemy.engine import URL, Engine

NAME: Final = "entra"

OPTIONS: Final = ("entra_credential", "entra_client_id")
# The credentials that need no arguments, and their keyword for a client id, if they have one.
CREDENTIALS: Final[dict[str, tuple[Callable[..., object], str | None]]] = {
    "DefaultAzureCredential": (identity.DefaultAzureCredential, "managed_identity_client_id"),
    "ManagedIdentityCredential": (identity.ManagedIdentityCredential, "client_id"),
    "WorkloadIdentityCredential": (identity.WorkloadIdentityCredential, "client_id"),
    "EnvironmentCredential": (identity.EnvironmentCredential, None),
    "AzureCliCredential": (identity.AzureCliCredential, None),
    "AzureDeveloperCliCredential": (identity.AzureDeveloperCliCredential, None),
    "AzurePowerShellCredential": (identity.AzurePowerShellCredential, None),
}
# One credential for each class and client id, so that engines share tokens.
_made: dict[tuple[str, str | None], object] = {}


class EntraPlugin(CreateEnginePlugin):
    """The engine plugin `entra`, which a URL enables: `postgresql+psycopg://server/db?plugin=entra`.

    SQLAlchemy creates it; programs do not call it. It logs in only to servers that are listed in the environment
    variable `AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS`.

    Options in the URL's query:
        entra_credential: name of a credential of `azure_postgresql_auth.identity` that needs no secret; by default
            `DefaultAzureCredential`.
        entra_client_id: client id of a user-assigned managed identity or of a workload identity.

    Raises:
        sqlalchemy.exc.ArgumentError: an option is unknown, repeated or not valid; the URL has a password or is not for
            PostgreSQL; the engine does not open its connections itself.
    """

    __module__ = "azure_postgresql_auth.sqlalchemy"

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        self.url = url
        if url.get_backend_name() != "postgresql":
            text = f"plugin=entra is for PostgreSQL, not for {url.get_backend_name()}"
            raise exc.ArgumentError(text)
        if url.password is not None:
            text = "the URL has plugin=entra and a password; remove one of the two"
            raise exc.ArgumentError(text)
        for keyword in ("creator", "pool"):
            if kwargs.get(keyword) is not None:
                text = (
                    f"plugin=entra cannot be used with {keyword}= (or async_creator=): the engine then does not open "
                    f"its connections itself; let the function open them with azure_postgresql_auth instead"
                )
                raise exc.ArgumentError(text)
        named = (*_listed(url.query.get("plugin", ())), *_listed(kwargs.get("plugins") or ()))
        if named.count(NAME) > 1:
            text = "the plugin entra is named more than once"
            raise exc.ArgumentError(text)
        self._credential = _credential(_options(url))

    def update_url(self, url: URL) -> URL:
        """Keep the plugin in the URL, because programs create further engines from an engine's URL."""
        return url.update_query_dict({"plugin": NAME})

    def engine_created(self, engine: Engine) -> None:
        """Set how the engine's connections log in."""
        set_login(engine, EngineLogin(Options(self._credential), is_from_url=True))


def _listed(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _options(url: URL) -> dict[str, str]:
    options = {name: value for name, value in url.query.items() if is_plugin_parameter(name) and name != "plugin"}
    for name, value in options.items():
        if name not in OPTIONS:
            text = f"{name}: plugin=entra has no such option; expected one of {', '.join(OPTIONS)}"
            raise exc.ArgumentError(text)
        if not isinstance(value, str):
            text = f"{name} is in the URL more than once"
            raise exc.ArgumentError(text)
    return options  # type: ignore[return-value] # all values are strings


def _credential(options: dict[str, str]) -> object:
    """Return the credential that the options name; None for the default credential."""
    if not any(options.values()):
        return None
    kind = options.get("entra_credential") or "DefaultAzureCredential"
    client_id = options.get("entra_client_id") or None
    if kind not in CREDENTIALS:
        text = f"entra_credential={kind}: expected one of {', '.join(CREDENTIALS)}"
        raise exc.ArgumentError(text)
    make, keyword = CREDENTIALS[kind]
    made = _made.get((kind, client_id))
    if made is None:
        if client_id is not None and keyword is None:
            text = f"{kind} takes no entra_client_id"
            raise exc.ArgumentError(text)
        try:
            made = make(**{keyword: client_id}) if keyword and client_id else make()
        except ValueError as error:
            text = f"entra_credential={kind}: {error}"
            raise exc.ArgumentError(text) from error
        # setdefault, because several threads can run this at the same time.
        made = _made.setdefault((kind, client_id), made)
    return made
