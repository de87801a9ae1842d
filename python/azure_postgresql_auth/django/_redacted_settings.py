"""Keep secrets in `DATABASES` out of debug pages, error reports and logs.

Django hides settings by the names of their keys, and only where it shows settings. Its error reports also show local
variables, among them whole dictionaries of settings. Therefore the `repr` of the values themselves is redacted.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth._redacted import Redacted, RedactedStr

if TYPE_CHECKING:
    from typing_extensions import Self

# Values of all other keys are redacted, because they may be secrets under a misspelt key.
_DJANGOS = {"ENGINE", "NAME", "USER", "HOST", "PORT", "TIME_ZONE"}
_NOT_SECRET = {*_DJANGOS, "TENANT_ID", "CLIENT_ID", "SP_TENANT_ID", "SP_CLIENT_ID"}


class RedactedOptions(dict[str, Any]):
    """`OPTIONS` with a redacted `repr` of its credential, which is otherwise unchanged.

    Django's debug pages and error reports show a dictionary by its `items()`, which Django does not use elsewhere.
    """

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def items(self) -> Any:
        """Return the items, with the credential redacted."""
        shown = dict(self)
        credential = self.get("credential")
        if credential is not None and not isinstance(credential, (str, Redacted)):
            shown["credential"] = Redacted(credential)
        return shown.items()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # As in `Redacted`.
        return type(self)({key: self[key] if key == "credential" else copy.deepcopy(self[key], memo) for key in self})

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, Any]]]:
        return type(self), (dict(self),)


def redact(settings: dict[str, Any]) -> None:
    """Redact the secrets of one database's settings in place."""
    _redact_texts(settings)
    for value in settings.values():
        # Every other dictionary, such as AAD_OPTIONS or a misspelling of it.
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
