"""What is written to files of passwords is what libpq and PgBouncer read there."""

from __future__ import annotations

import os
import re
import tempfile

import psycopg
from azure_postgresql_auth.cli import passfile
from azure_postgresql_auth.cli.pgbouncer import userlist
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.support.platforms import WINDOWS

# Names of hosts and roles may have any letters but line ends, which no line of a file can hold. On Windows, Ctrl-Z ends
# what the C library, and so libpq, reads of a file.
LETTERS = st.characters(exclude_characters="\0\n\r\x1a" if WINDOWS else "\0\n\r", exclude_categories=["Cs"])
NAME = st.text(st.one_of(LETTERS, st.sampled_from(":\\*\"' #")), min_size=1, max_size=8)
TOKEN = st.text(st.sampled_from("abcXYZ019-_."), min_size=1, max_size=40)


def by_libpq(content: bytes, **parameters: str) -> str:
    """Return the password that libpq finds in a file."""
    with tempfile.NamedTemporaryFile() as file:  # 0600
        file.write(content)
        file.flush()
        # libpq rejects the last parameter after it has read the file, and before it opens a socket.
        given = {**parameters, "passfile": file.name, "target_session_attrs": "refused"}
        pairs = (
            f"{name}='{value}'"
            for name, value in ((n, v.replace("\\", "\\\\").replace("'", "\\'")) for n, v in given.items())
        )
        connection = psycopg.pq.PGconn.connect_start(" ".join(pairs).encode())
        assert b"target_session_attrs" in connection.get_error_message().encode()
        return (connection.password or b"").decode()


@given(NAME, NAME, TOKEN, st.binary(max_size=60))
@example("h:o\\st", 'us:er"\\', "a.b-c", b"*:*:*:*:other\n")
@example("*", "\\", "t", b"")
@example("#", "u", "t", b"# a comment\n")
def test_libpq_finds_the_password(host: str, user: str, token: str, others: bytes) -> None:
    # libpq splits lists of hosts, and connects to paths and to abstract names by sockets.
    assume(not set(host) & set(",/@"))
    content = passfile.merged(others, [passfile.line(token, host=host, user=user)])
    assert by_libpq(content, host=host, user=user, dbname="db") == token
    # Once more: the old entry goes, and all else stays.
    again = passfile.merged(content, [passfile.line("another", host=host, user=user)])
    assert by_libpq(again, host=host, user=user, dbname="db") == "another"
    assert passfile.line(token, host=host, user=user).encode() not in again.splitlines()


@given(NAME, NAME, TOKEN)
def test_nobody_else_gets_the_password(host: str, user: str, token: str) -> None:
    assume("*" not in {host, user} and not set(host) & set(",/@"))
    content = passfile.merged(b"", [passfile.line(token, host=host, user=user)])
    assert by_libpq(content, host=f"{host}x", user=user, dbname="db") == ""
    assert by_libpq(content, host=host, user=f"{user}x", dbname="db") == ""


def by_pgbouncer(content: bytes) -> dict[bytes, bytes]:
    """Return the users of a file as PgBouncer's `load_auth_file` reads them: it stops at a malformed line."""
    users = {}
    for line in content.split(b"\n"):
        stripped = line.lstrip(b" \t\r")
        if not stripped or stripped.startswith(b";"):
            continue
        match = re.match(rb'"((?:[^"]|"")*)"\s*"((?:[^"]|"")*)"', stripped)
        if match is None:
            break
        users[match[1].replace(b'""', b'"')] = match[2].replace(b'""', b'"')
    return users


@given(st.dictionaries(NAME, TOKEN, min_size=1, max_size=4), st.binary(max_size=60))
@example({'a"b': "t"}, b'"a""b" "old"\n; comment\n"other" "x"')
def test_pgbouncer_finds_the_passwords(passwords: dict[str, str], others: bytes) -> None:
    content = userlist.merged(others, passwords)
    read = by_pgbouncer(content)
    for user, password in passwords.items():
        assert read[os.fsencode(user)] == password.encode()
    assert userlist.merged(content, passwords) == content, "a second time changes nothing"
