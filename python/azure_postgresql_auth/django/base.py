"""Django's PostgreSQL backend, with connections that log in with Microsoft Entra ID."""

from __future__ import annotations

import os
import sys
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base as postgresql

from azure_postgresql_auth._engine.connect import Options
from azure_postgresql_auth._redacted import Redacted, without_frames
from azure_postgresql_auth.django._connection import Connection, Driver, driver, plan_for
from azure_postgresql_auth.django._redacted_settings import redact
from azure_postgresql_auth.django._settings import login_settings, set_flag
from azure_postgresql_auth.django.client import DatabaseClient
from azure_postgresql_auth.django.validation import DatabaseValidation

if TYPE_CHECKING:
    from typing import ClassVar

__all__ = ["DatabaseWrapper"]


class DatabaseWrapper(postgresql.DatabaseWrapper):
    """A PostgreSQL database of a Django project.

    Every new connection, including those of Django's pool, gets a valid token.
    """

    Database = Driver()
    client_class = DatabaseClient
    validation_class = DatabaseValidation
    # Separate from Django's, so that the handling of forks does not affect other backends.
    _connection_pools: ClassVar[dict[str, Any]] = {}
    connection: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        redact(self.settings_dict)
        _wrappers.add(self)

    def get_connection_params(self) -> dict[str, Any]:
        """Return the driver's parameters, with a credential instead of a password."""
        handled = sys.exc_info()[1]
        try:
            params: dict[str, Any] = super().get_connection_params()
            # The credential is in no local variable, which a debug page could show.
            params.pop("credential", None)
            credential, notes = login_settings(self.settings_dict, self.alias)
            set_flag(params, self.alias)
        except ImproperlyConfigured as error:
            raise without_frames(error, handled=handled) from error.__cause__
        for note in notes:
            warnings.warn(note, stacklevel=2)
        if "password" in params and plan_for({}, params, Options(allow_insecure_transport=True)).user is None:
            message = (
                f"DATABASES[{self.alias!r}] has a PASSWORD and no USER: a plain login needs both, one with Microsoft "
                f"Entra ID no PASSWORD"
            )
            raise ImproperlyConfigured(message)
        params["credential"] = Redacted(credential)
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Open a connection, or take one from the pool."""
        try:
            return super().get_new_connection(conn_params)
        except driver.OperationalError as error:
            pool = getattr(self, "pool", None)
            if pool is None or pool.connection_class.last_failure is None:
                raise
            # The pool's error only reports its timeout; add the cause.
            failure = pool.connection_class.last_failure
            message = f"{error}; the last attempt to connect failed: {failure}"
            raise type(error)(message) from failure

    @property
    def pool(self) -> Any:
        """Django's pool, if there is one, with connections that obtain a login when they are opened."""
        pool = super().pool
        if pool is not None:
            given = pool.connection_class
            if not issubclass(given, Connection):
                # Django opens the pool later. Each pool has its own class for its own `last_failure`; with setdefault,
                # threads that run this at the same time use the same class.
                made = type("PooledConnection", (Connection, given), {"last_failure": None})
                pool.connection_class = pool.__dict__.setdefault("_entra_connection_class", made)
        return pool


_wrappers: weakref.WeakSet[DatabaseWrapper] = weakref.WeakSet()
_inherited: list[object] = []


def _leave_to_the_parent() -> None:
    """Drop the parent's connections and pools in a forked child.

    Using them would corrupt the parent's protocol stream, and closing them would end its sessions. They are kept in
    `_inherited`, because some drivers warn when an open connection is garbage collected.
    """
    _inherited.append(dict(DatabaseWrapper._connection_pools))  # noqa: SLF001 - Django has no public name for them
    DatabaseWrapper._connection_pools.clear()  # noqa: SLF001
    for wrapper in _wrappers:
        if wrapper.connection is not None:
            _inherited.append(wrapper.connection)
            wrapper.connection = None
            if wrapper.in_atomic_block:
                # The state that Django sets when a connection is closed in the middle of a transaction.
                wrapper.closed_in_transaction = wrapper.needs_rollback = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
