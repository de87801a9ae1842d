"""Microsoft Entra ID logins to Azure Database for PostgreSQL.

Importing this package loads no driver and no token engine; take what you need from its modules:

- `psycopg3`: `EntraConnection` and `AsyncEntraConnection` for psycopg 3 and its pools
- `psycopg2`: `EntraConnection` for psycopg2 and its pools
- `asyncpg`: `connect` and `create_pool`
- `sqlalchemy`: `enable_entra_authentication`, `enable_entra_authentication_async`, `create_asyncpg_engine`
- `django`: database backends
- `core`: tokens and user names for every other use
- `identity`: the credentials that find or make those tokens; `identity.aio` for Azure's asynchronous clients
- `service_connector`: the variables of Azure Service Connector, as the arguments of each driver
- `errors`: what can go wrong
- `emulator`: Entra ID and an Azure PostgreSQL server on this machine, for tests
"""

from __future__ import annotations


def __getattr__(name: str) -> str:
    if name == "__version__":
        # Imported here: importlib.metadata costs more than the rest of the package together.
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

        try:
            return version("azure-postgresql-auth-rs")
        except PackageNotFoundError:
            # The package was just copied, as into a serverless bundle or by PyInstaller.
            return "0+unknown"
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
