"""The emulator's settings and records between tests: names, wrong values, `reset`."""

from __future__ import annotations

from typing import Any, Callable

import psycopg
import pytest
from azure_postgresql_auth.emulator import Emulator

from tests.support.emulator_clients import claims_of, connect, imds, one, refusal
from tests.support.platforms import needs_server


def test_reset_and_duplicates(emulator: Emulator, postgresql: dict[str, str]) -> None:
    first = emulator.identity
    added = emulator.add_identity("added", default=True)
    emulator.add_group("all", [added])
    with pytest.raises(ValueError, match="belongs to another identity"):
        emulator.add_identity("another", role="added")
    with pytest.raises(ValueError, match="kind='robot': one of user-assigned"):
        emulator.add_identity("another", "robot")
    if "dsn" not in postgresql:
        # In a given server, a role that owns something stays.
        with connect(emulator, added) as connection:
            connection.execute("CREATE TABLE kept (id int)")
    emulator.lifetime = 5
    emulator.reset()
    assert (emulator.identity, emulator.lifetime, emulator.logins) == (first, 3600, [])
    assert refusal(emulator, user="added", password=emulator.token(added)).startswith("password authentication failed")
    assert emulator.sql("SELECT rolname FROM pg_roles WHERE rolname IN ('added', 'all')") == []
    connect(emulator, emulator.add_identity("added")).close()


def test_identities_go_by_their_names(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    app = emulator.add_identity("app", "service-principal")
    emulator.add_identity("pod")
    assert claims_of(emulator.token("app"))["oid"] == app.object_id
    assert emulator.client_secret_env("app")["AZURE_CLIENT_ID"] == app.client_id
    assert emulator.client_certificate_env("app")["AZURE_CLIENT_ID"] == app.client_id
    assert "AZURE_FEDERATED_TOKEN_FILE" in emulator.workload_identity_env("pod")
    assert emulator.pipelines_url("pod", "secret").startswith("https://")
    assert emulator.add_group("all", ["app", emulator.identity]).members == (app, emulator.identity)
    emulator.identity = "pod"
    assert emulator.identity.name == "pod"
    old = emulator.token("pod")
    emulator.revoke(emulator.identity)
    assert "validating the access token" in refusal(emulator, user="pod", password=old)
    emulator.remove("all")
    emulator.remove("app")
    assert refusal(emulator, user="app", password=emulator.token(app)).startswith("password authentication failed")
    emulator.add_identity("twin", role=None)
    emulator.add_identity("twin", role="other twin")
    for call, said in (
        (lambda: emulator.token("nobody"), "'nobody' is not known here; there are 'emulator-identity', 'pod', "),
        (lambda: emulator.token("twin"), "'twin' is the name of 2 identities; pass the identity itself"),
        (lambda: emulator.remove(app), "'app' does not belong to this emulator, or was removed"),
        (lambda: emulator.revoke("nobody"), "there is no role 'nobody'; there are 'emulator-identity', 'pod', "),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    with pytest.raises(TypeError, match="expected an identity or its name, not int"):
        emulator.token(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="members='app': expected a list"):
        emulator.add_group("readers", "app")
    with pytest.raises(TypeError, match="expected an identity, a group or a name, not int"):
        emulator.remove(5)  # type: ignore[arg-type]


def test_wrong_values_are_refused_where_they_are_set(emulator: Emulator) -> None:
    nan = float("nan")
    wrong: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (ValueError, "lifetime=-5: expected seconds, 0 or more", lambda: Emulator(lifetime=-5)),
        (TypeError, "lifetime='3': expected a number", lambda: Emulator(lifetime="3")),  # type: ignore[arg-type]
        (ValueError, "latency=nan: expected seconds", lambda: Emulator(latency=nan)),
        (ValueError, "records=-1: expected 0 or more", lambda: Emulator(records=-1)),
        (ValueError, "lifetime=inf", lambda: setattr(emulator, "lifetime", float("inf"))),
        (TypeError, "latency=None", lambda: setattr(emulator, "latency", None)),
        (ValueError, "lifetime=nan: expected seconds", lambda: emulator.token("emulator-identity", lifetime=nan)),
        (ValueError, "status=42: expected 200 to 599", lambda: emulator.fail(42)),
        (TypeError, "status='503': expected a whole number", lambda: emulator.fail("503")),  # type: ignore[arg-type]
        (ValueError, "times=-1: expected 0 or more", lambda: emulator.fail(times=-1)),
        (TypeError, "times=0.5: expected a whole number", lambda: emulator.fail(times=0.5)),  # type: ignore[arg-type]
        (ValueError, "per_second=0: expected a number above 0", lambda: emulator.throttle(0)),
        (ValueError, "concurrent=0: expected 1 or more", lambda: emulator.throttle(5, 0)),
        (ValueError, "sqlstate='x': expected five digits", lambda: emulator.refuse("no", "x")),
        (ValueError, "message='': expected a text", lambda: emulator.refuse("")),
        (ValueError, "is longer than the 63 bytes that PostgreSQL allows", lambda: emulator.add_identity("n" * 64)),
        (ValueError, "PostgreSQL refuses the role 'pg_own'", lambda: emulator.add_identity("pg_own")),
        (ValueError, "PostgreSQL refuses the role 'n.x00'", lambda: emulator.add_identity("n\0")),
        (TypeError, "name=None: expected a text", lambda: emulator.add_identity(None)),  # type: ignore[arg-type]
        (TypeError, "role=5: expected a text", lambda: emulator.add_identity("app", role=5)),  # type: ignore[arg-type]
        (TypeError, "name=5: expected a text", lambda: emulator.add_group(5)),  # type: ignore[arg-type]
        (ValueError, "role 'postgres' administers the server", lambda: emulator.add_identity("postgres")),
    ]
    for error, said, call in wrong:
        with pytest.raises(error, match=said):
            call()
    assert (emulator.lifetime, emulator.latency) == (3600, 0)
    assert imds(emulator)[0] == 200
    connect(emulator, emulator.identity).close()


def test_no_proxy_in_each_spelling_that_is_set(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both are set, requests and curl read the one in lower case."""
    monkeypatch.setenv("NO_PROXY", "a.example")
    assert emulator.env["NO_PROXY"] == "a.example,localhost,127.0.0.1"
    monkeypatch.setenv("no_proxy", "b.example")
    assert emulator.env["no_proxy"] == "b.example,localhost,127.0.0.1"


def test_a_statement_that_waits_for_data_ends(emulator: Emulator) -> None:
    with pytest.raises(Exception, match="there is no data to copy: use INSERT"):
        emulator.sql("CREATE TEMPORARY TABLE t (i int); COPY t FROM STDIN")


@needs_server
def test_reset_leaves_no_data(emulator: Emulator) -> None:
    other = emulator.add_identity("other")
    emulator.sql("CREATE DATABASE theirs OWNER other")
    emulator.sql("CREATE DATABASE everybodys")
    emulator.sql("""CREATE DATABASE "the first's" OWNER "emulator-identity" """)
    emulator.sql("GRANT CONNECT ON DATABASE everybodys TO other")
    databases = ("postgres", "theirs", "everybodys", "the first's")

    def tables(database: str) -> list[tuple[str | None, ...]]:
        query = "SELECT tableowner FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        return emulator.sql(query, database=database)

    def make() -> None:
        for identity in (emulator.identity, other):
            for database in databases:
                with connect(emulator, identity, dbname=database) as connection:
                    if database != "the first's" or identity is not other:
                        connection.execute(f"CREATE TABLE {identity.name[:5]} (id int)")

    try:
        make()
        assert tables("everybodys") == [("emulator-identity",), ("other",)]
        # One client is still in a transaction, and another has an open connection without one.
        busy = connect(emulator, emulator.identity)
        busy.execute("SELECT * FROM emula")
        idle = connect(emulator, emulator.identity, dbname="everybodys", autocommit=True)
        idle.execute("SELECT * FROM emula")
        emulator.reset()
        assert [tables(name) for name in databases if name != "theirs"] == [[], [], []]
        assert emulator.sql("SELECT datname FROM pg_database WHERE datname = 'theirs'") == []
        assert emulator.sql("SELECT rolname FROM pg_roles WHERE rolname = 'other'") == []
        assert one(idle, "SELECT 1") == 1
        with pytest.raises(psycopg.errors.AdminShutdown):
            busy.execute("SELECT 1")
        busy.close()
        idle.close()
        # Or what the first one has made is kept.
        with connect(emulator, emulator.identity) as connection:
            connection.execute("CREATE TABLE kept (id int)")
        emulator.reset(keep_data=True)
        assert tables("postgres") == [("emulator-identity",)]
    finally:
        for database in ("theirs", "everybodys", "the first's"):
            emulator.sql(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def test_reset_brings_the_first_identity_back(emulator: Emulator) -> None:
    first = emulator.identity
    emulator.remove(first)
    emulator.reset()
    assert emulator.identity is first
    connect(emulator, first).close()


def test_records_are_bounded(postgresql: dict[str, Any]) -> None:
    with Emulator(records=2, **postgresql) as small:
        for number in range(3):
            small.fail(500 + number)
            assert imds(small)[0] == 500 + number
            refusal(small, user=str(number), password="x")
        assert [request.status for request in small.token_requests] == [501, 502]
        assert [login.role for login in small.logins] == ["1", "2"]
