"""What the arguments of a program on libpq say about its connection.

PostgreSQL's own programs are read as their `getopt_long` reads them: flags in one word (`-Xqh HOST`), shortened long
options (`--hos HOST`), options after arguments. Everything else about a command line is a guess, and is said to be one.
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
    """What a command says about its connection."""

    parameters: dict[str, str]
    """libpq's, by keyword."""
    is_certain: bool
    """The program reads its arguments in this way and in no other."""


class _Program(NamedTuple):
    options: str
    """Its short options, as `getopt` takes them."""
    long: str = ""
    """Its long options beside those that all have, with blanks in between; others are not understood."""
    takes_database: bool = False
    """Its first argument is a database's name or a connection string."""


_SHARED = ("host=", "port=", "username=", "dbname=", "password", "no-password")
# Source: the calls of getopt_long in PostgreSQL 13 to 18. An option whose meaning changed in between is left out.
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
    # pg_dumpall and the programs of replication are not here: in them an option wins over a connection string.
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
    """Read a command; of a connection string and an option, the string wins, as in PostgreSQL's programs.

    Raises:
        Failure: a connection string that libpq would refuse, or settings that cannot be attributed to a server.
    """
    for variable in ("PGDATABASE", "PGUSER"):
        # Some programs pass these on as a database, which libpq then takes for a connection string.
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
        # Newer than this table, or wrong.
        return Arguments(_guessed(command[1:]), is_certain=False)
    # libpq ignores an empty option.
    said = {_PLACES[option]: value for option, value in options if option in _PLACES and value}
    if program.takes_database and rest and "dbname" not in said:
        said["dbname"] = rest.pop(0)
    if name == "psql" and rest:
        said.setdefault("user", rest[0])
    database = said.pop("dbname", "")
    if conninfo.is_conninfo(database):
        return Arguments({**said, **conninfo.parse(database)}, is_certain=True)
    return Arguments({**said, **({"dbname": database} if database else {})}, is_certain=True)


def _guessed(arguments: Sequence[str]) -> dict[str, str]:
    """What the arguments say where they are connection strings, or look like the options of PostgreSQL's programs."""
    said: dict[str, str] = {}
    strings: dict[str, str] = {}
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        connection_string = value if argument.startswith("-") else argument
        if name in _PLACES:
            said[_PLACES[name]] = value if equals else "".join(arguments[index + 1 : index + 2])
        elif _is_connection_string(connection_string):
            strings.update(conninfo.parse(connection_string))
        elif insecure := _INSECURE.search(unquote(argument)):
            message = (
                f"an argument says {insecure[0]}, for a server that cannot be told from it; remove that, or pass the "
                "connection string as an argument of its own"
            )
            raise Failure(message, USAGE)
    database = said.pop("dbname", "")
    if conninfo.is_conninfo(database):
        strings.update(conninfo.parse(database))
    return {**said, **strings}


def _is_connection_string(argument: str) -> bool:
    """Whether it is one, as far as that can be told: SQL has equals signs, too."""
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
"""Those that a connection string may begin with."""

_INSECURE = re.compile(
    r"\b(?:sslmode\s*=\s*['\"]?(?:disable|allow|prefer)|gssencmode\s*=\s*['\"]?(?:prefer|require))\b"
)
