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
