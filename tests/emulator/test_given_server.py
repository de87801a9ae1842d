"""A PostgreSQL of one's own behind the emulator."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from azure_postgresql_auth.emulator import Emulator

from tests.support.emulator_clients import connect, one
from tests.support.platforms import needs_server


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


@needs_server
@pytest.mark.parametrize("method", ["trust", "password", "scram-sha-256"])
def test_a_given_server(emulator: Emulator, method: str) -> None:
    """The emulator's own server plays the given one, with another authentication method."""
    home = Path(str(emulator.sql("SHOW data_directory")[0][0])).parent
    emulator.sql("DROP ROLE IF EXISTS boss; CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'it''s:@secret'")
    emulator.sql("CREATE ROLE taken")
    rules = emulator.sql("SELECT pg_read_file('pg_hba.conf')")[0][0]
    emulator.sql(f"COPY (VALUES ('local all postgres trust'), ('local all all {method}')) TO '{home}/data/pg_hba.conf'")
    emulator.sql("SELECT pg_reload_conf()")
    password = urllib.parse.quote("it's:@secret", safe="")
    try:
        with Emulator(dsn=f"postgresql://boss:{password}@/postgres?host={home}") as second:
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
                Emulator(dsn=f"postgresql://boss:wrong@/postgres?host={home}"),
            ):
                pass
            assert "wrong" not in str(refused.value)
    finally:
        Path(home, "data", "pg_hba.conf").write_text(str(rules), "utf-8")
        emulator.sql("SELECT pg_reload_conf()")
        emulator.sql("DROP ROLE taken; DROP ROLE boss")
