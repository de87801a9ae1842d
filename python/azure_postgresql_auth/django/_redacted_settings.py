"""Values of `DATABASES` that no debug page, error report or log may show.

Django hides settings by the names of their keys, and only where it shows settings. It shows local variables of its own
functions as well, among them whole dictionaries of settings. So the values themselves do not print.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth._redacted import RedactedStr

if TYPE_CHECKING:
    from typing_extensions import Self

# Everything else is redacted that has no business here, for it may be a secret under a misspelt key.
_DJANGOS = {"ENGINE", "NAME", "USER", "HOST", "PORT", "TIME_ZONE"}
_NOT_SECRET = {*_DJANGOS, "TENANT_ID", "CLIENT_ID", "SP_TENANT_ID", "SP_CLIENT_ID"}


class Redacted:
    """An object that does not print, and stays the same one when the settings around it are copied."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"<{getattr(self.value, '__qualname__', type(self.value).__qualname__)}>"

    def __deepcopy__(self, _memo: object) -> Self:
        # Tokens are kept for each object; many can not be copied at all.
        return self


class RedactedOptions(dict[str, Any]):
    """`OPTIONS` whose credential stays what it is and does not print.

    Django's debug pages and error reports show a dictionary by its `items()`; nothing else of Django's goes by these.
    """

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def items(self) -> Any:
        """Show the credential by the name of its class."""
        shown = dict(self)
        credential = self.get("credential")
        if credential is not None and not isinstance(credential, (str, Redacted)):
            shown["credential"] = Redacted(credential)
        return shown.items()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Tokens are kept for each object; many can not be copied at all.
        return type(self)({key: self[key] if key == "credential" else copy.deepcopy(self[key], memo) for key in self})

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, Any]]]:
        return type(self), (dict(self),)


def unredacted(value: object) -> object:
    """What was redacted; anything else as it is."""
    return value.value if isinstance(value, Redacted) else value


def redact(settings: dict[str, Any]) -> None:
    """Conceals the secrets of one database's settings, where they stand."""
    _redact_texts(settings)
    for value in settings.values():
        # AAD_OPTIONS, however it is spelt.
        if isinstance(value, dict) and value is not settings.get("OPTIONS") and value is not settings.get("TEST"):
            _redact_texts(value)
    options = settings.get("OPTIONS")
    if isinstance(options, dict):
        for key in options:
            if "password" in key and isinstance(options[key], str):
                options[key] = RedactedStr(options[key])
        settings["OPTIONS"] = RedactedOptions(options)


def _redact_texts(settings: dict[str, Any]) -> None:
    for key, value in settings.items():
        if isinstance(value, str) and value and key not in _NOT_SECRET:
            settings[key] = RedactedStr(value)
