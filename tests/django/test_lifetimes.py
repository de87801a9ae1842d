"""Django's connections and pools while tokens expire and are revoked."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from azure_postgresql_auth.django import warm_up
from azure_postgresql_auth.identity import ManagedIdentityCredential
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.db.utils import ConnectionDoesNotExist, ConnectionHandler

from tests.support.django import ENGINE, needs_pools, who
from tests.support.django_logins import SECRET, beside, principal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.django import Databases


class TestLifetimes:
    @pytest.mark.parametrize("pool", [{}, pytest.param({"pool": {"min_size": 1, "max_size": 4}}, marks=needs_pools)])
    def test_a_revoked_token_is_replaced(self, pool: dict[str, Any], database: Databases, emulator: Emulator) -> None:
        options = {"credential": ManagedIdentityCredential(), **pool}
        first = database("revoked", OPTIONS=options)
        assert who(first) == emulator.identity.name
        emulator.revoke(emulator.identity.name)
        copies = [database.copy(first) for _ in range(3)]
        assert [who(connection) for connection in copies] == [emulator.identity.name] * 3
        # A pool may open two at once.
        assert 1 <= [login.accepted for login in emulator.logins].count(False) <= (2 if pool else 1)
        assert len(emulator.token_requests) == 2

    @needs_pools
    def test_a_stock_pool_keeps_its_first_token(self, database: Databases, emulator: Emulator) -> None:
        """What ours is for: Django's own backend with a token for a password, as people have it."""
        stock = database(
            "stock",
            ENGINE="django.db.backends.postgresql",
            USER=emulator.identity.name,
            PASSWORD=emulator.token(emulator.identity),
            OPTIONS={"pool": {"min_size": 1, "max_size": 4, "timeout": 2}},
        )
        assert who(stock) == emulator.identity.name
        emulator.revoke(emulator.identity.name)
        copies = [database.copy(stock) for _ in range(4)]
        with pytest.raises(OperationalError, match="couldn't get a connection after 2.00 sec$"):
            [who(connection) for connection in copies]

    @needs_pools
    @pytest.mark.parametrize("checks", [False, True])
    def test_a_pool_outlives_its_tokens(self, checks: object, database: Databases, emulator: Emulator) -> None:
        emulator.lifetime = 3
        options = {"credential": ManagedIdentityCredential(), "pool": {"min_size": 1, "max_size": 8}}
        alias = f"pooled-{checks}"
        first = database(alias, OPTIONS=options, CONN_HEALTH_CHECKS=checks)
        connections = [first]
        assert who(first) == emulator.identity.name
        for _ in range(3):
            time.sleep(3.1)
            connections.append(database.copy(first))
            assert who(connections[-1]) == emulator.identity.name
        # An open one outlives its token.
        assert {who(connection) for connection in connections} == {emulator.identity.name}
        assert all(login.accepted for login in emulator.logins)
        assert len(emulator.logins) >= 4
        assert len(emulator.token_requests) >= 3

    @needs_pools
    def test_a_pool_keeps_its_own_class(self, database: Databases, emulator: Emulator) -> None:
        class Mine(psycopg.Connection[Any]):
            pass

        connection = database("mine", OPTIONS={"pool": {"min_size": 1, "connection_class": Mine}})
        assert who(connection) == emulator.identity.name
        assert isinstance(connection.connection, Mine)

    @needs_pools
    def test_a_pool_that_many_threads_meet_first(self, database: Databases) -> None:
        first = database("met", OPTIONS={"pool": {"min_size": 0, "max_size": 1}})
        pool = first.pool
        before = psycopg.Connection
        errors: list[BaseException] = []

        def meet(connection: Any, barrier: threading.Barrier) -> None:
            barrier.wait()
            try:
                classes.append(connection.pool.connection_class)
            except TypeError as error:
                errors.append(error)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for _ in range(300):
                vars(pool).pop("_entra_connection_class", None)
                pool.connection_class = before
                classes: list[type] = []
                barrier = threading.Barrier(8)
                threads = [threading.Thread(target=meet, args=(database.copy(first), barrier)) for _ in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert len(set(classes)) == 1
        finally:
            sys.setswitchinterval(interval)
        assert errors == []

    @pytest.mark.parametrize(("age", "logins"), [(0, 3), (None, 1), (3600, 1)])
    def test_conn_max_age(self, age: int | None, logins: int, database: Databases, emulator: Emulator) -> None:
        connection = database(CONN_MAX_AGE=age)
        for _ in range(3):
            assert who(connection) == emulator.identity.name
            connection.close_if_unusable_or_obsolete()
        assert len(emulator.logins) == logins

    def test_conn_max_age_ends(self, database: Databases, emulator: Emulator) -> None:
        emulator.lifetime = 3
        connection = database(CONN_MAX_AGE=1, OPTIONS={"credential": ManagedIdentityCredential()})
        for _ in range(3):
            assert who(connection) == emulator.identity.name
            time.sleep(3.1)
            connection.close_if_unusable_or_obsolete()
        assert [login.accepted for login in emulator.logins] == [True] * 3
        assert len(emulator.token_requests) == 3

    def test_health_checks_log_in_again(self, database: Databases, emulator: Emulator) -> None:
        connection = database(CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)
        assert who(connection) == emulator.identity.name
        emulator.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'emulator-identity'")
        connection.close_if_unusable_or_obsolete()  # as each request begins and ends
        assert who(connection) == emulator.identity.name
        assert len(emulator.logins) == 2

    def test_a_transaction_and_a_server_side_cursor(self, database: Databases) -> None:
        connection = database()
        with connection.chunked_cursor() as cursor:
            cursor.execute("SELECT generate_series(1, 1000)")
            assert sum(len(cursor.fetchmany(100)) for _ in range(10)) == 1000
        connection.set_autocommit(False)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE gone (n int)")
        connection.rollback()
        assert connection.introspection.table_names() == []


class TestWarmUp:
    @pytest.fixture
    def databases(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectionHandler]:
        entry = {"ENGINE": ENGINE, "NAME": emulator.database}
        credential = ManagedIdentityCredential()
        handler = ConnectionHandler(
            {
                "default": {**entry, "OPTIONS": {"credential": credential}},
                "same": {**entry, "OPTIONS": {"credential": credential}},
                "principal": {**entry, **beside(principal(emulator), emulator)},
                "plain": {**entry, "USER": "me", "PASSWORD": SECRET},
                "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
                "wrong": {**entry, "SCOPE": "s"},
            }
        )
        monkeypatch.setattr("django.db.connections", handler)
        monkeypatch.setattr("azure_postgresql_auth.django._warm_up.connections", handler)
        yield handler
        handler.close_all()

    def test_without_a_connection(self, databases: ConnectionHandler, emulator: Emulator) -> None:
        with pytest.raises(ImproperlyConfigured, match="'SCOPE'"):
            warm_up()
        first = len(emulator.token_requests)
        assert first == 2, "one for each identity"
        warm_up("default", "principal")
        assert (len(emulator.token_requests), emulator.logins) == (first, [])
        assert [who(databases[alias]) for alias in ("same", "principal")] == [emulator.identity.name, "orders-app"]
        assert len(emulator.token_requests) == first
        with pytest.raises(ConnectionDoesNotExist):
            warm_up("nowhere")

    def test_a_service_that_is_down(
        self, databases: ConnectionHandler, emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        emulator.fail(400)
        warm_up("default", "principal")
        found = [record.getMessage() for record in caplog.records if "in advance" in record.getMessage()]
        assert [text.partition(": Could not retrieve")[0] for text in found] == [
            "Could not obtain a login for DATABASES['default'] in advance",
            "Could not obtain a login for DATABASES['principal'] in advance",
        ]
        emulator.heal()
        assert who(databases["default"]) == emulator.identity.name
