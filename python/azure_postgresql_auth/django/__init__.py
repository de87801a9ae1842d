"""Django: databases whose connections log in with Microsoft Entra ID.

    DATABASES = {
        "default": {
            "ENGINE": "azure_postgresql_auth.django",
            "NAME": "orders",
            "HOST": "server.postgres.database.azure.com",
        },
    }

The backend is Django's own PostgreSQL backend, on psycopg 3 or psycopg2, with another way to log in. For GeoDjango use
`azure_postgresql_auth.django.postgis`.
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
    """Obtain logins before the first connection, for example before a server forks its workers.

    Forked workers inherit the tokens. No connection is opened. If a login cannot be obtained, a warning is logged, and
    each worker obtains one when it connects.

    Args:
        *aliases: databases of `DATABASES`; all of them by default. Databases on other backends are skipped.

    Raises:
        django.core.exceptions.ImproperlyConfigured: the login settings of a database are not valid.
        django.db.utils.ConnectionDoesNotExist: there is no database of this alias.
    """
    # Imported here, because Django can import this package while it reads its settings, too early for these modules.
    from django.db import connections  # noqa: PLC0415

    from azure_postgresql_auth.django._warm_up import obtain_logins  # noqa: PLC0415

    obtain_logins(aliases or connections)
