"""The connection class that Django uses, on the driver that Django selected."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.db.backends.postgresql.psycopg_any import is_psycopg3

from azure_postgresql_auth._redacted import without_frames
from azure_postgresql_auth.errors import EntraConnectionValueError

if TYPE_CHECKING or is_psycopg3:
    import psycopg as driver
    from psycopg.conninfo import make_conninfo

    from azure_postgresql_auth.psycopg3 import (
        EntraConnection,
        EntraOperationalError,
        InsecureTransportOperationalError,
        parsed,
        plan_for,
    )
else:
    import psycopg2 as driver
    from psycopg2.extensions import make_dsn as make_conninfo

    from azure_postgresql_auth.psycopg2 import (
        EntraConnection,
        EntraOperationalError,
        InsecureTransportOperationalError,
        parsed,
        plan_for,
    )

if TYPE_CHECKING:
    from typing import ClassVar

    from typing_extensions import Self

__all__ = [
    "Connection",
    "Driver",
    "EntraOperationalError",
    "InsecureTransportOperationalError",
    "driver",
    "make_conninfo",
    "parsed",
    "plan_for",
]


class Connection(EntraConnection):
    """An `EntraConnection` whose errors carry only their text, without tracebacks that could show secrets."""

    last_failure: ClassVar[Exception | None] = None
    """The error of the last attempt; None if it succeeded."""

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> Self:  # type: ignore[override]
        """Connect as `EntraConnection.connect` does."""
        handled = sys.exc_info()[1]
        try:
            # The credential in the keywords is redacted, because this frame stays in the traceback.
            connection: Self = super().connect(*args, **kwargs)
        except driver.Error as error:
            cls.last_failure = _copied(error)
            raise without_frames(error, handled=handled) from error.__cause__
        except BaseException as error:  # noqa: BLE001 - raised again
            # Timeouts, exits and interrupts, too: the frames hold the credential.
            raise without_frames(error, handled=handled) from error.__cause__
        cls.last_failure = None
        return connection


def _copied(error: Exception) -> Exception:
    """Return a copy that says the same, and keeps no frame and no connection alive."""
    copied = type(error)(*error.args)
    if isinstance(error, EntraConnectionValueError) and isinstance(copied, EntraConnectionValueError):
        copied.report = error.report
    if notes := getattr(error, "__notes__", None):
        copied.__notes__ = [*notes]  # type: ignore[attr-defined,unused-ignore] # before Python 3.11, too
    return copied


class Driver:
    """The driver's module with another `connect`."""

    connect = Connection.connect

    def __getattr__(self, name: str) -> Any:
        return getattr(driver, name)
