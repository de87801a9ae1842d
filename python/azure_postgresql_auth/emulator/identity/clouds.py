"""The audiences of database tokens in each of Azure's clouds."""

from __future__ import annotations

DATABASE_RESOURCES = (
    "https://ossrdbms-aad.database.windows.net",
    "https://ossrdbms-aad.database.usgovcloudapi.net",
    "https://ossrdbms-aad.database.chinacloudapi.cn",
)
DATABASE_SCOPE = DATABASE_RESOURCES[0] + "/.default"

SERVER_NAMES = (
    "*.postgres.database.azure.com",
    "*.postgres.database.usgovcloudapi.net",
    "*.postgres.database.chinacloudapi.cn",
)


def audience(scope: str) -> str:
    """Return the audience of a token for this scope or resource."""
    return scope.removesuffix("/.default")


def is_database(resource: str) -> bool:
    """Return whether a token with this audience is a database token."""
    return resource.rstrip("/") in DATABASE_RESOURCES
