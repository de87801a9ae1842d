"""Connection strings mean what they mean to libpq, and no error quotes one."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from unittest import mock

import psycopg
import pytest
from azure_postgresql_auth import service_connector
from azure_postgresql_auth.cli import argv, conninfo
from azure_postgresql_auth.cli.doctor import program_url
from azure_postgresql_auth.cli.failure import Failure
from hypothesis import assume, example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

SECRET = "s3cr3tpassw0rd"
KEYWORDS = ("host", "hostaddr", "port", "dbname", "user", "password", "sslmode", "options", "application_name")
# libpq's strings end at a zero byte, and it does not read what is not UTF-8.
LETTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
TEXT = st.text(LETTERS, max_size=12)
PIECES = st.sampled_from(
    ["host", "user", "password", "=", "'", "\\", " ", "\t", "\n", ",", ":", "@", "/", "?", "&", "%", "[", "]", "%41"]
)


def quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def of_libpq(text: str) -> dict[str, str] | None:
    """Return libpq's own reading; None if it rejects the text."""
    try:
        return {name: value for name, value in conninfo_to_dict(text).items() if isinstance(value, str) and value}
    except psycopg.Error:
        return None


def as_given(read: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in read.items() if value}


@given(st.dictionaries(st.sampled_from(KEYWORDS), TEXT, max_size=5), st.sampled_from([" ", "  ", "\n", "\t"]))
@example({"host": "\\", "user": "'"}, " ")
def test_values_are_what_was_quoted(pairs: dict[str, str], space: str) -> None:
    text = space.join(f"{name}={quoted(value)}" for name, value in pairs.items())
    assume(pairs)
    assert conninfo.parse(text) == pairs
    expected = of_libpq(text)
    assert expected is None or as_given(conninfo.parse(text)) == expected


@given(st.lists(st.one_of(PIECES, TEXT), max_size=14).map("".join))
@example("host=a\\'b user='c d'")
@example("host=a'b")
@example("host = a  port= 1")
def test_what_libpq_reads_is_read_alike(text: str) -> None:
    expected = of_libpq(text) if "=" in text else None
    try:
        read = conninfo.parse(text)
    except Failure as failure:
        assert expected is None, failure
        return
    if expected is not None:
        assert as_given(read) == expected


@given(
    # Versions of libpq differ in what they make of white space.
    st.lists(st.one_of(PIECES, st.text(LETTERS, max_size=4)), max_size=10).map(
        lambda all_: "".join("".join(all_).split())
    ),
    st.sampled_from(["postgresql://", "postgres://"]),
)
@example("user:p%40ss@host:5432/db?sslmode=require", "postgresql://")
@example("user@[::1]:5432,b/db", "postgresql://")
@example("/db?host=/tmp&ssl=true", "postgresql://")
@example("a?b@c/d", "postgres://")
@example("a/b?s%73l=true", "postgresql://")
@example("a/b?host=", "postgresql://")
def test_uris_mean_what_they_mean_to_libpq(text: str, scheme: str) -> None:
    expected = of_libpq(scheme + text)
    if expected is not None and not expected.get("port", "").strip(","):
        # Several hosts without a port are a list of none.
        expected.pop("port", None)
    try:
        read = conninfo.parse(scheme + text)
    except Failure as failure:
        assert expected is None, failure
        return
    if expected is not None:
        assert as_given(read) == expected


@pytest.mark.parametrize(
    "text",
    ["postgresql://a /b", "postgresql://u @a", "postgresql://a/b?port=1& sslmode=disable", "postgres://a?port= 1"],
)
def test_spaces_that_versions_of_libpq_read_differently_are_refused(text: str) -> None:
    with pytest.raises(Failure, match="space"):
        conninfo.parse(text)


@given(TEXT, st.lists(st.one_of(PIECES, TEXT), max_size=8).map("".join))
def test_no_error_quotes_a_connection_string(before: str, after: str) -> None:
    for text in (f"{before} password={SECRET}{after}", f"postgresql://{before}:{SECRET}@{after}"):
        for read in (conninfo.parse, program_url.read):
            try:
                read(text)
            except Failure as failure:
                assert SECRET not in str(failure)
        for program in ("psql", "pgbench", "python"):
            try:
                argv.read([program, "-h", "localhost", "-d", text])
            except Failure as failure:
                assert SECRET not in str(failure)


@given(
    st.lists(
        st.one_of(st.sampled_from(["-h", "-d", "--host=x", "-Xqh", "--hos", "--", "-", "", "sslmode=disable"]), TEXT),
        max_size=8,
    )
)
def test_any_arguments_are_read_or_refused(arguments: list[str]) -> None:
    for program in ("psql", "pg_restore", "/usr/bin/pgbench", "pg_dumpall", "java"):
        with suppress(Failure):
            read = argv.read([program, *arguments])
            values = [value for reading in read.readings for value in reading.values()]
            assert read.readings, shlex.join(arguments)
            assert all(isinstance(value, str) for value in values), shlex.join(arguments)


@given(st.dictionaries(st.sampled_from(KEYWORDS), TEXT.filter(str.strip), max_size=5))
def test_service_connector_reads_like_libpq(pairs: dict[str, str]) -> None:
    # What it says is said to be a mistake, not read in another way.
    pairs = {"host": "db.example.com", "dbname": "db", "port": "5432", **pairs, "password": SECRET, "user": "ada"}
    assume(pairs["port"].isascii() and pairs["port"].isdecimal() and len(pairs["port"]) < 6)
    text = " ".join(f"{name}={quoted(value)}" for name, value in pairs.items())
    with mock.patch.dict(os.environ, {"AZURE_POSTGRESQL_CONNECTIONSTRING": text}, clear=True):
        read = service_connector.psycopg()
    assert {name: str(value) for name, value in read.items()} == {**pairs, "port": str(int(pairs["port"]))}
    expected = of_libpq(text)
    assert expected is None or expected == pairs


@given(st.lists(st.one_of(PIECES, TEXT), max_size=10).map("".join))
def test_no_error_of_service_connector_quotes_a_password(text: str) -> None:
    variables = {"AZURE_POSTGRESQL_CONNECTIONSTRING": f"password={SECRET}{text}".replace("\0", "")}
    with mock.patch.dict(os.environ, variables, clear=True):
        try:
            service_connector.psycopg()
        except ValueError as error:
            assert SECRET not in str(error)
