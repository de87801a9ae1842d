"""Obtain logins before the first connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections

from azure_postgresql_auth._engine import log
from azure_postgresql_auth._engine.connect import NO_OPTIONS, connect
from azure_postgresql_auth.django._connection import driver, plan_for
from azure_postgresql_auth.django.base import DatabaseWrapper
from azure_postgresql_auth.django.client import TRANSLATION

if TYPE_CHECKING:
    from collections.abc import Iterable


def obtain_logins(aliases: Iterable[str]) -> None:
    """Obtain a login for each of these databases that is on this backend, without opening a connection."""
    for alias in aliases:
        connection = connections[alias]
        if isinstance(connection, DatabaseWrapper):
            try:
                _obtain_login(connection)
            except driver.OperationalError as error:
                log.warn(f"Could not obtain a login for DATABASES[{alias!r}] in advance: {error}")


def _obtain_login(connection: DatabaseWrapper) -> None:
    params = connection.get_connection_params()
    options = NO_OPTIONS.taken_from(params)
    with TRANSLATION:
        plan = plan_for({}, params, options)
    connect(plan, options, TRANSLATION, lambda _: None)
