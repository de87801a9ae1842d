"""A PostgreSQL of one's own behind the emulator."""

from __future__ import annotations

import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

import psycopg
import pytest
from azure_postgresql_auth.emulator import Emulator

from tests.support.emulator_clients import connect, one
from tests.support.platforms import needs_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@needs_server
def test_a_given_servers_administrator_need_not_be_superuser(emulator: Emulator) -> None:
    home = Path(str(emulator.sql("SHOW data_directory")[0][0])).parent
    emulator.sql('CREATE ROLE clerk CREATEROLE LOGIN; GRANT "emulator-identity" TO clerk WITH ADMIN OPTION')
    try:
        with Emulator(dsn=f"postgresql://clerk@/postgres?host={home}") as second:
            connect(second, second.add_identity("other")).close()
            with pytest.raises(ValueError, match="role 'clerk' administers the server behind the emulator"):
                second.add_identity("clerk")
        assert emulator.sql("SELECT rolname FROM pg_roles WHERE rolname = 'other'") == []
    finally:
        emulator.sql("DROP ROLE clerk")


@contextmanager
def _given(emulator: Emulator, method: str) -> Iterator[tuple[str, str]]:
    """Let the emulator's own server play the given one, with another authentication method.

    Yield URLs of two administrators: the first has to know a password, the second does not.
    """
    home = Path(str(emulator.sql("SHOW data_directory")[0][0])).parent
    emulator.sql("DROP ROLE IF EXISTS boss; CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'it''s:@secret'")
    rules = emulator.sql("SELECT pg_read_file('pg_hba.conf')")[0][0]
    emulator.sql(f"COPY (VALUES ('local all postgres trust'), ('local all all {method}')) TO '{home}/data/pg_hba.conf'")
    emulator.sql("SELECT pg_reload_conf()")
    password = urllib.parse.quote("it's:@secret", safe="")
    try:
        yield f"postgresql://boss:{password}@/postgres?host={home}", f"postgresql://postgres@/postgres?host={home}"
    finally:
        Path(home, "data", "pg_hba.conf").write_text(str(rules), "utf-8")
        emulator.sql("SELECT pg_reload_conf()")
        emulator.sql("DROP ROLE boss")


@needs_server
@pytest.mark.parametrize("method", ["trust", "password", "scram-sha-256"])
def test_a_given_server(emulator: Emulator, method: str) -> None:
    emulator.sql("CREATE ROLE taken")
    try:
        with _given(emulator, method) as (dsn, _):
            with Emulator(dsn=dsn) as second:
                other = second.add_identity("other 'quoted'")
                with connect(second, other) as connection:
                    assert one(connection, "SELECT current_user") == other.role
                connect(second, second.add_identity("taken")).close()
                for administrator in ("boss", "postgres"):
                    with pytest.raises(ValueError, match=f"role '{administrator}' administers the server"):
                        second.add_identity(administrator)
            names = "SELECT rolname FROM pg_roles WHERE rolname IN ('other ''quoted''', 'taken')"
            assert emulator.sql(names) == [("taken",)]
            if method != "trust":
                with (
                    pytest.raises(RuntimeError, match=r"dsn= cannot be used: .*password") as refused,
                    Emulator(dsn=dsn.replace("secret", "wrong")),
                ):
                    pass
                assert "wrong" not in str(refused.value)
    finally:
        emulator.sql("DROP ROLE taken")


@needs_server
@pytest.mark.parametrize("method", ["trust", "password", "scram-sha-256"])
@pytest.mark.parametrize("administrators", [(0, 0), (0, 1), (1, 1)], ids=["password", "mixed", "none"])
def test_two_emulators_on_one_server(emulator: Emulator, method: str, administrators: tuple[int, int]) -> None:
    """Each has a role of the same name, and neither keeps the other's programs from logging in."""
    with _given(emulator, method) as dsns:
        first, second = (Emulator(dsn=dsns[administrator]) for administrator in administrators)
        with first:
            identity = first.add_identity("shared")
            with second:
                other = second.add_identity("shared")
                for _ in range(2):
                    connect(first, identity).close()
                    connect(second, other).close()
                second.remove(other)
                connect(first, identity).close()
                other = second.add_identity("shared")
                first.remove(identity)
                connect(second, other).close()
        assert emulator.sql("SELECT rolname FROM pg_roles WHERE rolname = 'shared'") == []


@needs_server
def test_many_emulators_on_one_server_at_once(emulator: Emulator) -> None:
    """As with pytest-xdist: they create, use and drop the role of the same name all at the same time."""
    count = 6
    started, done = Barrier(count), Barrier(count)

    def use(dsn: str) -> None:
        started.wait()
        with Emulator(dsn=dsn) as one_of_them:
            identity = one_of_them.add_identity("shared")
            for _ in range(5):
                connect(one_of_them, identity).close()
            done.wait()

    with _given(emulator, "scram-sha-256") as (dsn, _), ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(use, dsn) for _ in range(count)]:
            future.result()
    assert emulator.sql("SELECT rolname FROM pg_roles WHERE rolname = 'shared'") == []


@needs_server
@pytest.mark.parametrize("method", ["trust", "scram-sha-256"])
def test_a_role_that_may_not_log_in_stays_so(emulator: Emulator, method: str) -> None:
    with _given(emulator, method) as (dsn, _), Emulator(dsn=dsn) as second:
        identity = second.add_identity("sleeper")
        second.sql("ALTER ROLE sleeper NOLOGIN")
        with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
            connect(second, identity)
