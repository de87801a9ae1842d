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
    from collections.abc import Iterator, Sequence


class Arguments(NamedTuple):
    """The connection parameters of a command."""

    readings: list[dict[str, str]]
    """The parameters by libpq's keywords, in each way in which the program may read them: one or more."""
    is_certain: bool
    """Whether the program is known to read its arguments in the first of these ways."""
    services: tuple[str, ...] = ()
    """Services that other texts in the arguments seem to name, for servers that they may name as well."""


class _Program(NamedTuple):
    options: str
    """Its short options, in the format of `getopt`."""
    long: str = ""
    """Its long options, separated by spaces, in addition to those that all programs have."""
    takes_database: bool = False
    """Whether its first argument is the name of a database or a connection string."""
    options_prevail: bool = False
    """Whether options take precedence over a connection string."""


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
    "pg_isready": _Program("d:h:p:qt:U:V"),
    "pgbench": _Program("b:c:CD:f:F:h:iI:j:lL:M:nNp:P:qrR:s:St:T:U:v", takes_database=True),
    "createdb": _Program("D:eE:h:l:O:p:S:T:U:wW"),
    "createuser": _Program("c:dDeg:h:iIlLp:PrRsSU:wW"),
    "dropdb": _Program("efh:ip:U:wW"),
    "dropuser": _Program("eh:ip:U:wW"),
    "vacuumdb": _Program("ad:efFh:j:p:P:qt:U:vwWzZ", takes_database=True),
    "reindexdb": _Program("ad:eh:ij:qp:sS:t:U:vwW", takes_database=True),
    "clusterdb": _Program("ad:eh:p:qt:U:vwW", takes_database=True),
    "pg_dumpall": _Program("acd:E:f:gh:l:Op:rsS:tU:vwWx", "database= file= no-role-passwords", options_prevail=True),
    "pg_basebackup": _Program("c:Cd:D:F:h:i:l:nNp:Pr:RS:t:T:U:vwWX:zZ:", options_prevail=True),
    "pg_receivewal": _Program("d:D:E:h:np:s:S:U:vwWZ:", options_prevail=True),
    "pg_recvlogical": _Program("d:E:f:F:h:I:no:p:P:s:S:tU:vwW", options_prevail=True),
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
    """Read a command. A connection string takes precedence over options, as in most of PostgreSQL's programs.

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
        return _guessed(command[1:])
    long = [*_SHARED, *program.long.split()]
    try:
        options, rest = getopt.gnu_getopt(list(command[1:]), program.options, long)
        first_options, _ = getopt.getopt(list(command[1:]), program.options, long)
    except getopt.GetoptError:
        # An option that is newer than this table, or invalid.
        return _guessed(command[1:])
    if options != first_options and ("POSIXLY_CORRECT" in os.environ or os.name == "nt"):
        # Options after arguments do not count with that variable, or before PostgreSQL 17 on Windows.
        return _guessed(command[1:])
    given = {_PLACES[option]: value for option, value in options if option in _PLACES}
    if program.takes_database and rest and "dbname" not in given:
        given["dbname"] = rest.pop(0)
    if name == "psql" and rest:
        given.setdefault("user", rest[0])
    # libpq ignores an empty option, but the program has forgotten the one before it.
    given = _not_empty(given)
    if name == "pg_dumpall" and any(conninfo.is_conninfo(value) for option, value in options if option in _DATABASES):
        raise Failure("pg_dumpall -l has a connection string; pass it by -d instead", USAGE)
    database = given.pop("dbname", "")
    is_string = conninfo.is_conninfo(database)
    named = conninfo.parse(database) if is_string else ({"dbname": database} if database else {})
    if program.options_prevail:
        # What is empty in the string counts in some of these programs, and in others it does not.
        readings = [{**named, **given}, {**_not_empty(named), **given}]
        return Arguments(_distinct(readings), is_certain=False)
    return Arguments([{**given, **named}], is_certain=True)


_DATABASES = ("-l", "--database")
"""The options of pg_dumpall that name a database besides `-d`."""


def _not_empty(parameters: dict[str, str]) -> dict[str, str]:
    return {keyword: value for keyword, value in parameters.items() if value}


def _distinct(readings: list[dict[str, str]]) -> list[dict[str, str]]:
    return [reading for index, reading in enumerate(readings) if reading not in readings[:index]]


def _guessed(arguments: Sequence[str]) -> Arguments:
    """Return readings of connection strings, and of arguments that look like options of PostgreSQL's programs."""
    given: dict[str, str] = {}
    hosts: list[str] = []
    strings: list[dict[str, str]] = []
    services: list[str] = []
    for keyword, text in _parts(arguments):
        if keyword == "host":
            hosts.append(text)
        elif keyword == "dbname":
            strings += [conninfo.parse(text)] if conninfo.is_conninfo(text) else []
        elif keyword:
            given[keyword] = text
        else:
            services += _services(text)
    if any(hosts):
        # Which of them counts, and for what, is the program's to say. So all of them do.
        given["host"] = ",".join(filter(None, hosts))
    readings = [read for string in strings for read in ({**given, **string}, {**string, **given})] or [given]
    return Arguments(_distinct(readings), is_certain=False, services=tuple(services))


def _parts(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield keywords and values; a connection string as `dbname`, and any other text with an empty keyword."""
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        name, attached = _whole(name), _ATTACHED.match(argument)
        text = attached[2] if attached else value if argument.startswith("-") else argument
        if name in _PLACES:
            yield _PLACES[name], value if equals else "".join(arguments[index + 1 : index + 2])
        elif _is_connection_string(text):
            yield "dbname", text
        else:
            if attached and attached[1] == "h":
                yield "host", text
            yield "", argument


def _services(text: str) -> list[str]:
    """Return the services that a text seems to name.

    Raises:
        Failure: it says that a connection need not be protected.
    """
    text = unquote(text).replace("\\", "")
    if insecure := _INSECURE.search(text):
        message = (
            f"an argument says {insecure[0]}, for a server that it does not name; remove that, or pass the connection "
            "string as an argument of its own"
        )
        raise Failure(message, USAGE)
    return _SERVICE.findall(text)


def _whole(name: str) -> str:
    """Return the long option of which a name is the beginning; other names as they are."""
    options = [option for option in _PLACES if len(name) > len("--h") and option.startswith(name)]
    return options[0] if options else name


_ATTACHED = re.compile(r"-([dh])(.+)", re.DOTALL)
"""A database or a host in one word with its option."""


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
    r"\b(?:(?:pg)?ssl[ _]?mode\s*=\s*['\"]?(?:disable|allow|prefer)|(?:pg)?gssencmode\s*=\s*['\"]?(?:prefer|require)"
    r"|requiressl\s*=\s*['\"]?\w)\b",
    re.IGNORECASE,
)
"""As a parameter, as a variable for another program, and as other drivers spell it."""

_SERVICE = re.compile(r"\b(?:service|PGSERVICE)\s*=\s*['\"]?([^\s'\"&;]+)")
