"""Read the connection parameters in the arguments of a program on libpq.

PostgreSQL's own programs are read as their `getopt_long` reads them: flags in one word (`-Xqh HOST`), shortened long
options (`--hos HOST`), options after arguments. For other programs the arguments are guessed, and marked as uncertain.
"""

from __future__ import annotations

import getopt
import os
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from azure_postgresql_auth.cli import conninfo
from azure_postgresql_auth.cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Sequence


class Arguments(NamedTuple):
    """The connection parameters of a command."""

    parameters: dict[str, str]
    """The parameters by libpq's keywords."""
    is_certain: bool
    """Whether the program is known to read its arguments in this way."""


class _Program(NamedTuple):
    options: str
    """Its short options, in the format of `getopt`."""
    long: str = ""
    """Its long options, separated by spaces, in addition to those that all programs have."""
    takes_database: bool = False
    """Whether its first argument is the name of a database or a connection string."""


_SHARED = ("host=", "port=", "username=", "dbname=", "password", "no-password")
# Source: the calls of getopt_long in PostgreSQL 13 to 18, without options whose meaning changed in between.
_PROGRAMS = {
    "psql": _Program(
        "aAbc:d:eEf:F:h:HlL:no:p:P:qR:sStT:U:v:VwWxXz01",
        (
            "echo-all no-align command= echo-queries echo-errors echo-hidden file= field-separator= "
            "field-separator-zero html list log-file= no-readline single-transaction output= pset= no-psqlrc quiet "
            "record-separator= record-separator-zero set= single-line single-step table-attr= tuples-only variable= "
            "version expanded csv"
        ),
        takes_database=True,
    ),
    "pg_dump": _Program(
        "abBcCd:e:E:f:F:h:j:n:N:Op:RsS:t:T:U:vwWxZ:",
        (
            "data-only blobs no-blobs large-objects no-large-objects clean create extension= encoding= file= format= "
            "jobs= schema= exclude-schema= no-owner schema-only superuser= table= exclude-table= verbose "
            "no-privileges no-acl compress= if-exists inserts column-inserts lock-wait-timeout= no-sync role= section= "
            "serializable-deferrable snapshot= strict-names no-comments no-publications no-security-labels "
            "no-subscriptions no-tablespaces disable-triggers enable-row-security exclude-table-data= "
            "quote-all-identifiers use-set-session-authorization version"
        ),
        takes_database=True,
    ),
    "pg_restore": _Program(
        "acCd:ef:F:h:I:j:lL:n:N:Op:P:RsS:t:T:U:vwWx1",
        (
            "clean create data-only exit-on-error file= format= function= index= jobs= list no-privileges no-acl "
            "no-owner schema= exclude-schema= schema-only superuser= table= trigger= use-list= verbose "
            "single-transaction disable-triggers enable-row-security if-exists no-data-for-failed-tables "
            "no-tablespaces role= section= strict-names use-set-session-authorization no-comments no-publications "
            "no-security-labels no-subscriptions version"
        ),
    ),
    # pg_dumpall and the programs for replication are missing: their options take precedence over a connection string.
    "pg_isready": _Program("d:h:p:qt:U:V"),
    "pgbench": _Program("b:c:CD:f:F:h:iI:j:lL:M:nNp:P:qrR:s:St:T:U:v", takes_database=True),
    "createdb": _Program("D:eE:h:l:O:p:S:T:U:wW"),
    "createuser": _Program("c:dDeg:h:iIlLp:PrRsSU:wW"),
    "dropdb": _Program("efh:ip:U:wW"),
    "dropuser": _Program("eh:ip:U:wW"),
    "vacuumdb": _Program("ad:efFh:j:p:P:qt:U:vwWzZ", takes_database=True),
    "reindexdb": _Program("ad:eh:ij:qp:sS:t:U:vwW", takes_database=True),
    "clusterdb": _Program("ad:eh:p:qt:U:vwW", takes_database=True),
}
_PLACES = {
    "-h": "host",
    "-p": "port",
    "-U": "user",
    "-d": "dbname",
    "--host": "host",
    "--port": "port",
    "--username": "user",
    "--dbname": "dbname",
}


def read(command: Sequence[str]) -> Arguments:
    """Read a command. A connection string takes precedence over options, as in PostgreSQL's programs.

    Raises:
        Failure: a connection string is invalid, or a setting cannot be attributed to a server.
    """
    for variable in ("PGDATABASE", "PGUSER"):
        # Some programs pass these on as the database, which libpq then reads as a connection string.
        if conninfo.is_conninfo(os.environ.get(variable, "")):
            message = f"{variable} holds a connection string; pass it to the program as an argument instead"
            raise Failure(message, USAGE)
    name = os.path.basename(command[0]).removesuffix(".exe") if command else ""  # noqa: PTH119 - a name, not a file
    program = _PROGRAMS.get(name)
    if program is None:
        return Arguments(_guessed(command[1:]), is_certain=False)
    try:
        options, rest = getopt.gnu_getopt(list(command[1:]), program.options, [*_SHARED, *program.long.split()])
    except getopt.GetoptError:
        # An option that is newer than this table, or invalid.
        return Arguments(_guessed(command[1:]), is_certain=False)
    # libpq ignores an empty option.
    given = {_PLACES[option]: value for option, value in options if option in _PLACES and value}
    if program.takes_database and rest and "dbname" not in given:
        given["dbname"] = rest.pop(0)
    if name == "psql" and rest:
        given.setdefault("user", rest[0])
    database = given.pop("dbname", "")
    if conninfo.is_conninfo(database):
        return Arguments({**given, **conninfo.parse(database)}, is_certain=True)
    return Arguments({**given, **({"dbname": database} if database else {})}, is_certain=True)


def _guessed(arguments: Sequence[str]) -> dict[str, str]:
    """Return the parameters in connection strings, and in arguments that look like options of PostgreSQL's programs."""
    given: dict[str, str] = {}
    strings: dict[str, str] = {}
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        connection_string = value if argument.startswith("-") else argument
        if name in _PLACES:
            given[_PLACES[name]] = value if equals else "".join(arguments[index + 1 : index + 2])
        elif _is_connection_string(connection_string):
            strings.update(conninfo.parse(connection_string))
        elif insecure := _INSECURE.search(unquote(argument)):
            message = (
                f"an argument says {insecure[0]}, for a server that it does not name; remove that, or pass the "
                "connection string as an argument of its own"
            )
            raise Failure(message, USAGE)
    database = given.pop("dbname", "")
    if conninfo.is_conninfo(database):
        strings.update(conninfo.parse(database))
    return {**given, **strings}


def _is_connection_string(argument: str) -> bool:
    """Return whether an argument looks like a connection string; other texts with equals signs can be SQL."""
    if argument.startswith("-"):
        return False
    if argument.startswith(("postgresql://", "postgres://")):
        return True
    return "=" in argument and argument.partition("=")[0].strip() in _KEYWORDS


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
"""The keywords with which a connection string is expected to begin."""

_INSECURE = re.compile(
    r"\b(?:sslmode\s*=\s*['\"]?(?:disable|allow|prefer)|gssencmode\s*=\s*['\"]?(?:prefer|require)"
    r"|requiressl\s*=\s*['\"]?\w)\b"
)
