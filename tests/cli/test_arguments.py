"""What `exec` learns from connection strings and from the arguments of the program that it runs."""

from __future__ import annotations

import os

import pytest
from azure_postgresql_auth.cli import argv, conninfo
from azure_postgresql_auth.cli.failure import Failure
from psycopg.conninfo import conninfo_to_dict


@pytest.mark.parametrize(
    "text",
    [
        r"host=a dbname='it\'s' user = 'x y'  password=a\ b",
        "postgresql://u%40c:p%3Aw@h1:1,h2:2/d%20b?sslmode=require&application_name=x%26y",
        "postgres://[::1]:5433/db",
        "postgresql:///db?host=%2Ftmp&user=x",
        "postgresql://h?ssl=true",
        "host='' user=a",
    ],
)
def test_connection_strings_are_read_as_libpq_does(text: str) -> None:
    assert conninfo.parse(text) == conninfo_to_dict(text)


def test_a_bad_connection_string_is_not_repeated() -> None:
    for text in ("host=a secret", "password='secret", "postgresql://h?secret"):
        with pytest.raises(Failure) as failed:
            conninfo.parse(text)
        assert "secret" not in str(failed.value)
    assert conninfo.parse("orders") == {"dbname": "orders"}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["psql", "-h", "a", "-Ub", "--port=1", "-d", "c"], {"host": "a", "user": "b", "port": "1", "dbname": "c"}),
        (["/usr/bin/psql", "host=a dbname=b"], {"host": "a", "dbname": "b"}),
        (["pg_dump", "-d", "host=a", "-h", "b"], {"host": "a"}),
        (["psql", "--dbname", "postgresql://u@a/b"], {"host": "a", "user": "u", "dbname": "b"}),
        (["psql", "-c", "SELECT 1 WHERE host = 'x'"], {}),
        (["psql", "-c", "-h", "-hb"], {"host": "b"}),
        (["psql", "-Xqh", "a"], {"host": "a"}),
        (["psql", "-Xqha"], {"host": "a"}),
        (["psql", "--hos", "a"], {"host": "a"}),
        (["psql", "--hos=a", "db", "ann"], {"host": "a", "dbname": "db", "user": "ann"}),
        pytest.param(
            ["psql", "db", "-h", "a"],
            {"host": "a", "dbname": "db"},
            marks=pytest.mark.skipif(os.name == "nt", reason="depends on PostgreSQL's version there"),
        ),
        (["psql", "-h", "a", "--", "-h"], {"host": "a", "dbname": "-h"}),
        (["psql", "-h", "a", "-h", "b"], {"host": "b"}),
        (["pg_restore", "-Cvd", "postgresql://a/b", "host=file"], {"host": "a", "dbname": "b"}),
        (["createdb", "-h", "a", "host=b"], {"host": "a"}),
    ],
)
def test_what_the_arguments_of_postgresqls_programs_say(command: list[str], expected: dict[str, str]) -> None:
    assert argv.read(command) == argv.Arguments([expected], is_certain=True)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["python", "-h", "a", "x=y"], {"host": "a"}),
        (["python", "app.py", "postgresql://a/b"], {"host": "a", "dbname": "b"}),
        (["sh", "-c", "psql -h a"], {}),
        (["env", "psql", "-h", "a"], {"host": "a"}),
        # An option of a later version, and one that is cut too short.
        (["psql", "--new-option", "-h", "a"], {"host": "a"}),
        (["psql", "--no", "-ha"], {"host": "a"}),
        (["pgbench", "-d", "db"], {"dbname": "db"}),
        ([], {}),
    ],
)
def test_what_is_not_certain_is_said_to_be_so(command: list[str], expected: dict[str, str]) -> None:
    reading = {k: v for k, v in expected.items() if k != "dbname" or "postgresql:" in str(command)}
    assert argv.read(command) == argv.Arguments([reading], is_certain=False)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["pg_dumpall", "-vh", "a", "-d", "host=b user=c"], [{"host": "a", "user": "c"}]),
        (["pg_basebackup", "-ha", "-d", "host=b port=''"], [{"host": "a", "port": ""}, {"host": "a"}]),
        (["app", "-h", "a", "host=b"], [{"host": "b"}, {"host": "a"}]),
        (["app", "--hos=a", "--dbn", "host=b", "-dhost=c"], [{"host": "b"}, {"host": "a"}, {"host": "c"}]),
        (["app", "-h", "a", "-hb", "-h", ""], [{"host": "a,b"}]),
        (
            ["app", "postgresql://u:p@a/x", "postgresql://b/y"],
            [{"user": "u", "password": "p", "host": "a", "dbname": "x"}, {"host": "b", "dbname": "y"}],
        ),
    ],
)
def test_each_way_in_which_a_program_may_read_its_arguments_is_told(
    command: list[str], expected: list[dict[str, str]]
) -> None:
    read = argv.read(command)
    assert not read.is_certain
    assert read.readings == expected
