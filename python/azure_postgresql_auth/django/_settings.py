"""Read the credential of a database from its entry in `DATABASES`.

    none of these                           the default credential
    OPTIONS["credential"]                   an object, a dotted path or a callable
    TENANT_ID, CLIENT_ID, CLIENT_SECRET     a service principal
    AAD_OPTIONS                             the same, as SP_TENANT_ID, SP_CLIENT_ID, SP_CLIENT_SECRET
    PASSWORD                                a login with a password, which this package leaves unchanged

The two ways to name a service principal are those of older backends. Databases, threads and copies of the settings with
the same values use the same credential object, so that they share its tokens.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.utils import ConnectionHandler
from django.utils.module_loading import import_string

from azure_postgresql_auth import identity
from azure_postgresql_auth._engine import registry
from azure_postgresql_auth._engine.external import needs_sync
from azure_postgresql_auth._redacted import unredacted
from azure_postgresql_auth.errors import CredentialValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_ENGINES = ("azure_postgresql_auth.django", "azure_postgresql_auth.django.postgis")
_AAD_OPTIONS = "AAD_OPTIONS"
_PRINCIPAL = ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")
_AAD_PRINCIPAL = ("SP_TENANT_ID", "SP_CLIENT_ID", "SP_CLIENT_SECRET")
_AAD_REFRESH = "REFRESH_BEFORE_MINUTES"  # accepted and ignored: tokens are always renewed before they expire
# Read from Django, because later versions may have more.
_DJANGOS = {*ConnectionHandler({"default": {"ENGINE": "none"}}).settings["default"], "DISABLE_SERVER_SIDE_CURSORS"}
_KNOWN = {*_DJANGOS, *_PRINCIPAL, _AAD_OPTIONS}
_AAD_KNOWN = {*_AAD_PRINCIPAL, _AAD_REFRESH}
_FLAG = "allow_insecure_transport"
_OURS = ("credential", "scope", _FLAG)
_IN_OPTIONS = (*_OURS, "pool", "service", "sslmode", "sslrootcert")


class LoginSettings(NamedTuple):
    """The login that a database's settings select."""

    credential: object
    """The credential; None for the default one, and for a login with a password."""
    notes: tuple[str, ...]
    """Warnings about settings that work but should be written differently."""


def login_settings(settings: Mapping[str, Any], alias: str) -> LoginSettings:
    """Read the entry of one database.

    Raises:
        ImproperlyConfigured: a key is missing or misspelt, or its value is not a credential.
    """
    where = f"DATABASES[{alias!r}]" if alias != NO_DB_ALIAS else "DATABASES"
    notes: list[str] = []
    entry = _without_backticks(settings, where, notes)
    options: Mapping[str, Any] = settings["OPTIONS"]
    for name in options:
        meant = "credential" if name.lower() == "credentials" else name.lower()
        if meant in _OURS and name != meant:
            message = f"{where}['OPTIONS'] has {name!r}; it is called {meant!r} here"
            raise ImproperlyConfigured(message)
    given = unredacted(options.get("credential"))
    said = [source for source in (_beside(entry, where), _in_aad_options(entry, where, notes)) if source]
    sources = [*(["OPTIONS['credential']"] if given is not None else []), *(source.name for source in said)]
    if len(sources) > 1:
        message = f"{where} names the identity twice, by {sources[0]} and by {sources[1]}; remove one"
        raise ImproperlyConfigured(message)
    _refuse_unknown(entry, where)
    if settings["PASSWORD"]:
        if said:
            message = (
                f"{where} has a PASSWORD and {said[0].name}; remove the PASSWORD to log in with Microsoft Entra ID, or "
                f"{said[0].name} for a plain login"
            )
            raise ImproperlyConfigured(message)
        return LoginSettings(None, tuple(notes))
    if said:
        make = partial(identity.ClientSecretCredential, *said[0].values)
        return LoginSettings(_made(said[0].values, make, f"{where}: {said[0].name}"), tuple(notes))
    return LoginSettings(_credential(given, f"{where}['OPTIONS']['credential']"), tuple(notes))


def set_flag(params: dict[str, Any], alias: str) -> None:
    """Convert `allow_insecure_transport` to a bool if it is a string, as from a URL.

    Raises:
        ImproperlyConfigured: it is neither true nor false.
    """
    flag = params.get(_FLAG, False)
    if isinstance(flag, str):
        flag = {"true": True, "false": False}.get(flag.lower())
        if flag is not None:
            params[_FLAG] = flag
    if not isinstance(flag, bool):
        message = f"DATABASES[{alias!r}]['OPTIONS'][{_FLAG!r}] is {params[_FLAG]!r}; expected True or False"
        raise ImproperlyConfigured(message)


def _refuse_unknown(entry: Mapping[str, Any], where: str) -> None:
    """Reject keys that Django would ignore: a misspelt key would silently select the default credential.

    A derived backend can have keys of its own. django-tenants' keeps the current schema in one, for example.
    """
    is_derived = entry["ENGINE"] not in _ENGINES
    for key in entry:
        if key not in _KNOWN:
            meant = [f"OPTIONS[{name!r}]" for name in _near(key, _IN_OPTIONS)] or _near(key, _KNOWN)
            if not meant and "CREDENTIAL" in key.upper():
                meant = ["OPTIONS['credential']"]
            if not meant and is_derived:
                continue
            message = f"{where} has {key!r}, which is not a setting of a database; "
            message += f"did you mean {meant[0]}?" if meant else f"known are {', '.join(sorted(_KNOWN))}"
            raise ImproperlyConfigured(message)


class _Principal(NamedTuple):
    name: str
    """The names of the settings, for error messages."""
    values: tuple[str, str, str]


def _beside(entry: Mapping[str, Any], where: str) -> _Principal | None:
    """Return the service principal in the keys of the entry itself."""
    unknown = [key for key in entry if key not in _KNOWN]
    if not any(key in entry for key in _PRINCIPAL) and not any(_near(key, _PRINCIPAL) for key in unknown):
        return None
    values = _values(entry, _PRINCIPAL, where, unknown, may_be_empty=bool(entry["PASSWORD"]))
    return _Principal(f"{', '.join(_PRINCIPAL[:2])} and {_PRINCIPAL[2]}", values) if values else None


def _in_aad_options(entry: Mapping[str, Any], where: str, notes: list[str]) -> _Principal | None:
    """Return the service principal in AAD_OPTIONS."""
    aad = entry.get(_AAD_OPTIONS)
    if _AAD_OPTIONS not in entry:
        for key in entry:
            if key not in _DJANGOS and _near(key, [_AAD_OPTIONS]):
                message = f"{where} has {key!r}; did you mean {_AAD_OPTIONS}?"
                raise ImproperlyConfigured(message)
    if not aad:
        return None
    inside = f"{where}[{_AAD_OPTIONS!r}]"
    if not isinstance(aad, dict):
        message = f"{inside} has to be a dictionary with {', '.join(_AAD_PRINCIPAL)}"
        raise ImproperlyConfigured(message)
    aad = _without_backticks(aad, inside, notes)
    unknown = [key for key in aad if key not in _AAD_KNOWN]
    values = _values(aad, _AAD_PRINCIPAL, inside, unknown, may_be_empty=bool(entry["PASSWORD"]))
    if unknown:
        message = f"{inside} has {', '.join(map(repr, unknown))}; it knows {', '.join(_AAD_PRINCIPAL)}"
        raise ImproperlyConfigured(message)
    return _Principal(_AAD_OPTIONS, values) if values else None


def _values(
    entry: Mapping[str, Any], wanted: tuple[str, str, str], where: str, unknown: Collection[str], *, may_be_empty: bool
) -> tuple[str, str, str] | None:
    """Return the three values; None if all are empty and may be, as when they come from unset variables."""
    missing = [key for key in wanted if not entry.get(key)]
    misspelt = [(key, near) for key in unknown for near in _near(key, missing)]
    if len(missing) == len(wanted) and may_be_empty and not misspelt:
        return None
    if missing:
        message = f"{where} lacks {', '.join(missing)} (not there, or empty); a service principal needs "
        message += ", ".join(wanted)
        message += "".join(f". It has {key!r}: did you mean {near}?" for key, near in misspelt)
        raise ImproperlyConfigured(message)
    values = [entry[key] for key in wanted]
    for key, value in zip(wanted, values):
        if not isinstance(value, str):
            message = f"{where}[{key!r}] is {type(value).__name__}; it is a string"
            raise ImproperlyConfigured(message)
    return values[0], values[1], values[2]


def _near(key: str, wanted: Collection[str]) -> list[str]:
    """Return the wanted key that a misspelt key resembles, if there is one."""
    plain = {name.replace("_", "").upper(): name for name in wanted}
    spelt = key.strip().upper().replace("-", "").replace("_", "")
    return [plain[match] for match in get_close_matches(spelt, plain, n=1, cutoff=0.8)]


def _without_backticks(settings: Mapping[str, Any], where: str, notes: list[str]) -> dict[str, Any]:
    """Return the settings without backticks around keys, which an older backend's documentation has."""
    entry = {}
    for key, value in settings.items():
        bare = key.strip("` ") if isinstance(key, str) else str(key)
        if bare == key:
            entry[key] = value
        else:
            entry.setdefault(bare, value)
            notes.append(f"{where} has the key {key!r}, which is read as {bare!r}; write it like that")
    return entry


def _credential(given: object, where: str) -> object:
    credential = given
    if isinstance(given, str):
        try:
            credential = import_string(given)
        except Exception as error:
            message = f"{where} is {given!r}, which cannot be imported, {type(error).__name__}: {error}"
            raise ImproperlyConfigured(message) from error
    if callable(credential) and (isinstance(credential, type) or not _has_a_token(credential)):
        credential = _made(id(credential), credential, where)
    try:
        entry = registry.resolve(credential)
    except CredentialValueError as error:
        message = f"{where}: {error}"
        raise ImproperlyConfigured(message) from error
    if entry.asynchronous:
        message = f"{where}: {needs_sync(credential)}"
        raise ImproperlyConfigured(message)
    return credential


def _has_a_token(credential: object) -> bool:
    return hasattr(credential, "get_token") or hasattr(credential, "get_token_info")


_made_already: dict[object, tuple[object, object]] = {}


def _made(key: object, make: Callable[[], object], where: str) -> object:
    """Return the result of `make`, called once per key. The key's object is kept, so that its id stays unique."""
    if key not in _made_already:
        try:
            credential = make()
        except Exception as error:
            message = f"{where} could not be made, {type(error).__name__}: {error}"
            raise ImproperlyConfigured(message) from error
        # setdefault, so that threads that run this at the same time use the same object.
        _made_already.setdefault(key, (credential, make))
    return _made_already[key][0]
