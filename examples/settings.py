"""Read the server and the database of the examples from the environment, or from a file `.env` beside them.

    POSTGRES_SERVER=myserver.postgres.database.azure.com
    POSTGRES_DATABASE=postgres

`HOSTNAME` and `DATABASE` are read, too. The file contains no password.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

ENV_FILE = Path(__file__).with_name(".env")


class Settings(NamedTuple):
    """A server and a database."""

    server: str
    database: str


def read_settings() -> Settings:
    """Read the settings; end the program with a hint if they are missing."""
    environment = dict(os.environ)
    if environment.get("HOSTNAME") == socket.gethostname():
        del environment["HOSTNAME"]  # shells and containers set it to the name of this machine
    file = parse(ENV_FILE.read_text("utf-8")) if ENV_FILE.is_file() else {}
    server = find("POSTGRES_SERVER", "HOSTNAME", environment, file)
    database = find("POSTGRES_DATABASE", "DATABASE", environment, file)
    if not server or not database:
        sys.exit("Set POSTGRES_SERVER and POSTGRES_DATABASE, or copy .env.example to .env and fill it in.")
    return Settings(server, database)


def find(name: str, other_name: str, environment: Mapping[str, str], file: Mapping[str, str]) -> str | None:
    """Return a setting; the environment takes precedence over the file."""
    for candidate in (name, other_name):
        if value := environment.get(candidate) or file.get(candidate):
            return value
    return None


def parse(text: str) -> dict[str, str]:
    """Read lines of the form `NAME=value`; the value may be quoted, and `export` may precede the name."""
    values = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            values[name.strip()] = unquoted(value.strip())
    return values


def unquoted(value: str) -> str:
    """Remove the quotes around a value, or else the comment after it."""
    if value[:1] in {'"', "'"}:
        return value[1:].partition(value[0])[0]
    return value.partition(" #")[0].rstrip()
