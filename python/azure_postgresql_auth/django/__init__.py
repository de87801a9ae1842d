"""Django: databases whose connections log in with Microsoft Entra ID.

    DATABASES = {
        "default": {
            "ENGINE": "azure_postgresql_auth.django",
            "NAME": "orders",
            "HOST": "server.postgres.database.azure.com",
        },
    }

It is Django's own PostgreSQL backend, on psycopg 3 or psycopg2, but for how connections log in.
`azure_postgresql_auth.django.postgis` is the same for GeoDjango.
"""

from __future__ import annotations

try:
    import django as _installed
except ImportError as error:
    message = "Django is not installed; install it with: pip install 'azure-postgresql-auth-rs[django]'"
    raise ImportError(message) from error

del _installed

__all__ = ["warm_up"]


def warm_up(*aliases: str) -> None:
    """Obtain logins before the first connection, for a server that forks its workers to call before it does so.

    Workers inherit the tokens of the process that they are forked from. No connection is opened. Where no login can be
    obtained, a warning is logged, and each worker tries by itself when it connects.

    Args:
        *aliases: databases of `DATABASES`; all of them by default. Those on other backends are passed over.

    Raises:
        django.core.exceptions.ImproperlyConfigured: the settings of a database do not say who logs in.
        django.db.utils.ConnectionDoesNotExist: there is no database of this alias.
    """
    # Django imports this package while it reads its settings, too early for these.
    from django.db import connections  # noqa: PLC0415

    from azure_postgresql_auth.django._warm_up import obtain_logins  # noqa: PLC0415

    obtain_logins(aliases or connections)
