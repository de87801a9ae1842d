"""Values of `DATABASES` that no debug page, error report or log may show.

Django hides settings by the names of their keys, and only where it shows settings. It shows local variables of its own
functions as well, among them whole dictionaries of settings. So the values themselves do not print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

# Everything else is concealed that has no business here, for it may be a secret under a misspelt key.
_DJANGOS = {"ENGINE", "NAME", "USER", "HOST", "PORT", "TIME_ZONE"}
_NOT_SECRET = {*_DJANGOS, "TENANT_ID", "CLIENT_ID", "SP_TENANT_ID", "SP_CLIENT_ID"}


class ConcealedText(str):
    """A string that prints as stars where containers and debuggers print it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'****'"


class Concealed:
    """An object that does not print, and stays the same one when the settings around it are copied."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"<{getattr(self.value, '__qualname__', type(self.value).__qualname__)}>"

    def __deepcopy__(self, _memo: object) -> Self:
        # Tokens are kept for each object; many can not be copied at all.
        return self


def revealed(value: object) -> object:
    """What was concealed; anything else as it is."""
    return value.value if isinstance(value, Concealed) else value


def conceal(settings: dict[str, Any]) -> None:
    """Conceals the secrets of one database's settings, where they stand."""
    _conceal_texts(settings)
    for value in settings.values():
        # AAD_OPTIONS, however it is spelt.
        if isinstance(value, dict) and value is not settings.get("OPTIONS") and value is not settings.get("TEST"):
            _conceal_texts(value)
    options = settings.get("OPTIONS")
    if isinstance(options, dict):
        for key, value in options.items():
            if key == "credential" and value is not None and not isinstance(value, (str, Concealed)):
                options[key] = Concealed(value)
            elif "password" in key and isinstance(value, str):
                options[key] = ConcealedText(value)


def without_frames(error: Exception) -> Exception:
    """An error without the frames that it came through, and those of what it came from.

    Their local variables hold tokens, and secrets of credentials.
    """
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def _conceal_texts(settings: dict[str, Any]) -> None:
    for key, value in settings.items():
        if isinstance(value, str) and value and key not in _NOT_SECRET:
            settings[key] = ConcealedText(value)
