"""What the arguments of a program on libpq say about its connection.

All programs of PostgreSQL's own share these options. Other programs' options may mean anything, so of those only
connection strings are read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import _conninfo

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPTIONS = {
    "-h": "host",
    "--host": "host",
    "-p": "port",
    "--port": "port",
    "-U": "user",
    "--username": "user",
    "-d": "dbname",
    "--dbname": "dbname",
}
_PROGRAMS = (
    "psql",
    "pgbench",
    "pg_amcheck",
    "pg_basebackup",
    "pg_combinebackup",
    "pg_createsubscriber",
    "pg_dump",
    "pg_dumpall",
    "pg_isready",
    "pg_receivewal",
    "pg_recvlogical",
    "pg_restore",
    "clusterdb",
    "createdb",
    "createuser",
    "dropdb",
    "dropuser",
    "reindexdb",
    "vacuumdb",
    "vacuumlo",
    "oid2name",
    "pgcli",
)


def parameters(command: Sequence[str]) -> dict[str, str]:
    """Libpq's parameters in a command; of a connection string and an option, the string wins, as in psql."""
    options: dict[str, str] = {}
    conninfo: dict[str, str] = {}
    ours = os.path.basename(command[0]).removesuffix(".exe") in _PROGRAMS if command else False  # noqa: PTH119
    arguments = iter(command[1:])
    for argument in arguments:
        name, value = _split(argument)
        if ours and name in _OPTIONS:
            options[_OPTIONS[name]] = next(arguments, "") if value is None else value
        elif _names_a_host(argument):
            conninfo.update(_conninfo.parse(argument))
    database = options.pop("dbname", "")
    if _conninfo.is_conninfo(database):
        conninfo.update(_conninfo.parse(database))
    return {**options, **conninfo}


def _split(argument: str) -> tuple[str, str | None]:
    """`--host=x` and `-hx` as a name and a value; the value is None where the next argument has it."""
    if argument.startswith("--"):
        name, equals, value = argument.partition("=")
        return name, value if equals else None
    return argument[:2], argument[2:] or None


def _names_a_host(argument: str) -> bool:
    """Whether it is a connection string, as far as that can be told: SQL has equals signs, too."""
    if argument.startswith("-"):
        return False
    if argument.startswith(("postgresql://", "postgres://")):
        return True
    keyword = argument.partition("=")[0].strip()
    return "=" in argument and keyword in _KEYWORDS


_KEYWORDS = (
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "service",
    "sslmode",
    "sslrootcert",
    "application_name",
    "connect_timeout",
    "options",
    "target_session_attrs",
)
"""Those that a connection string may begin with."""
