"""System checks of `manage.py check --database default`, which `migrate` runs as well.

azure_postgresql_auth.E001      the login settings are not valid
azure_postgresql_auth.E002      could not obtain a login
azure_postgresql_auth.E003      the token could be sent unencrypted
azure_postgresql_auth.E004      the server cannot be reached, or refuses the login
azure_postgresql_auth.W001      a key in the settings is misspelt but recognized
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.validation import BaseDatabaseValidation
from django.db.utils import Error

from azure_postgresql_auth._engine import refusal
from azure_postgresql_auth.django._settings import login_settings
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DatabaseValidation"]


class DatabaseValidation(BaseDatabaseValidation):
    """Log in, and report an error in one line."""

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Return Django's messages and those about the login; none about the login if it succeeds."""
        return [*super().check(**kwargs), *self._check_login()]

    def _check_login(self) -> Iterator[checks.CheckMessage]:
        alias, settings = self.connection.alias, self.connection.settings_dict
        # A separate connection, because a pool retries until its timeout.
        options = {key: value for key, value in settings["OPTIONS"].items() if key != "pool"}
        connection = type(self.connection)({**settings, "OPTIONS": options}, alias)
        try:
            for note in login_settings(settings, alias).notes:
                yield checks.Warning(note, id="azure_postgresql_auth.W001")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # reported above
                connection.ensure_connection()
        except ImproperlyConfigured as error:
            yield _error("E001", str(error))
        except Error as error:
            # Django's own copy of a driver's error has its text, and neither its SQLSTATE nor its notes.
            cause = error.__cause__ or error
            hint = "\n".join(getattr(cause, "__notes__", ())) or refusal.hint_for(refusal.of_error(cause))
            yield _error(_number(error), f"DATABASES[{alias!r}]: {error}", hint)
        finally:
            connection.close()


def _number(error: BaseException) -> str:
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, InsecureTransportError):
            return "E003"
        if isinstance(link, EntraConnectionValueError):
            return "E002"
        link = link.__cause__
    return "E004"


def _error(number: str, text: str, hint: str | None = None) -> checks.CheckMessage:
    lines = (line.strip() for line in text.splitlines())
    return checks.Error("; ".join(filter(None, lines)), hint=hint, id=f"azure_postgresql_auth.{number}")
