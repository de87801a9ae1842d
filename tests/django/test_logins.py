"""Django's connections: who logs in."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth.identity import ManagedIdentityCredential
from azure_postgresql_auth.psycopg3 import EntraConnection
from django.db import OperationalError
from django.db.utils import ConnectionHandler

from tests.django import credentials as django_credentials
from tests.support.django import ENGINE, who
from tests.support.django_logins import SECRET, aad, beside, principal

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

    from tests.support.django import Databases


class TestWhoLogsIn:
    def test_default_login(self, database: Databases, emulator: Emulator) -> None:
        assert who(database()) == emulator.identity.name

    @pytest.mark.parametrize("name", ["credential", "make", "ManagedIdentityCredential"])
    @pytest.mark.parametrize("as_path", [True, False])
    def test_credential(self, name: str, as_path: object, database: Databases, emulator: Emulator) -> None:
        """An object, a function and a class; by their paths and as they are."""
        before = len(django_credentials.made)
        given = f"tests.django.credentials.{name}" if as_path else getattr(django_credentials, name)
        connections = [database(alias, OPTIONS={"credential": given}) for alias in ("default", "other")]
        connections.append(database.copy(connections[0]))
        assert {who(connection) for connection in connections} == {emulator.identity.name}
        assert len(emulator.token_requests) <= 1, "they share their tokens"
        assert len(django_credentials.made) - before <= 1

    def test_a_user_wins_over_the_claims(self, database: Databases, emulator: Emulator) -> None:
        emulator.add_group("orders-team", [emulator.identity])
        assert who(database(USER="orders-team")) == "orders-team"

    @pytest.mark.parametrize("style", [beside, aad])
    def test_service_principal(self, style: Any, database: Databases, emulator: Emulator) -> None:
        identity = principal(emulator)
        connections = [database(alias, **style(identity, emulator)) for alias in ("default", "other")]
        assert [who(connection) for connection in connections] == ["orders-app", "orders-app"]
        assert len(emulator.token_requests) == 1, "one object for both"

    @pytest.mark.parametrize("style", [beside, aad])
    def test_backticks_around_keys(self, style: Any, database: Databases, emulator: Emulator) -> None:
        entry = style(principal(emulator), emulator)
        keys = entry.get("AAD_OPTIONS", entry)
        for key in list(keys):
            if key.endswith(("CLIENT_SECRET", "TENANT_ID")):
                keys[f"`{key}`"] = keys.pop(key)
        connection = database(**entry)
        with pytest.warns(UserWarning, match="write it like that") as warned:
            assert who(connection) == "orders-app"
        assert len(warned) == 2
        for warning in warned:
            assert re.search(r"has the key '`(\w+)`', which is read as '\1'; write it like that$", str(warning.message))
        messages = connection.validation.check()
        assert [message.id for message in messages] == ["azure_postgresql_auth.W001"] * 2

    def test_each_database_its_own(self, database: Databases, emulator: Emulator) -> None:
        reader = emulator.add_identity("reader")
        one, other = principal(emulator, "one"), principal(emulator, "other")
        handler = ConnectionHandler(
            {
                "default": {"ENGINE": ENGINE, "NAME": emulator.database},
                "replica": {
                    "ENGINE": ENGINE,
                    "NAME": emulator.database,
                    "OPTIONS": {"credential": ManagedIdentityCredential(client_id=reader.client_id)},
                },
                "one": {"ENGINE": ENGINE, "NAME": emulator.database, **beside(one, emulator)},
                "other": {"ENGINE": ENGINE, "NAME": emulator.database, **aad(other, emulator)},
            }
        )
        found = {alias: who(database.handled(handler, alias)) for alias in handler}
        assert found == {"default": emulator.identity.name, "replica": "reader", "one": "one", "other": "other"}

    def test_threads_share_a_request(self, emulator: Emulator) -> None:
        emulator.latency = 0.1
        credential = ManagedIdentityCredential()
        handler = ConnectionHandler(
            {"default": {"ENGINE": ENGINE, "NAME": emulator.database, "OPTIONS": {"credential": lambda: credential}}}
        )

        def ask() -> None:
            try:
                found.append(who(handler["default"]))
            finally:
                handler.close_all()

        found: list[str] = []
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [emulator.identity.name] * 8
        assert len(emulator.token_requests) == 1

    @pytest.mark.parametrize("options", [{}, {"credential": "tests.django.credentials.make"}])
    def test_its_parameters_are_those_of_the_connection_classes(
        self, options: dict[str, str], database: Databases, emulator: Emulator
    ) -> None:
        """Libraries, such as procrastinate's worker, open connections of their own with them."""
        connection = database(OPTIONS=options)
        assert who(connection) == emulator.identity.name
        before = len(emulator.token_requests)
        with EntraConnection.connect(**connection.get_connection_params()) as other:
            assert other.info.user == emulator.identity.name
        assert len(emulator.token_requests) == before, "they share their tokens"

    def test_a_derived_backend_has_settings_of_its_own(self, database: Databases, emulator: Emulator) -> None:
        connection = database(ENGINE="tests.django.derived", SHARD_GROUP="a")
        assert who(connection) == emulator.identity.name
        assert connection.validation.check() == []

    @pytest.mark.parametrize("style", ["nothing", "credential", "empty keys"])
    def test_a_password_is_a_plain_login(self, style: str, database: Databases, emulator: Emulator) -> None:
        entries: dict[str, dict[str, Any]] = {
            "nothing": {},
            "credential": {"OPTIONS": {"credential": ManagedIdentityCredential()}},
            "empty keys": {"TENANT_ID": None, "CLIENT_ID": "", "CLIENT_SECRET": None},
        }
        connection = database(USER=emulator.identity.role, PASSWORD=SECRET, **entries[style])
        with pytest.raises(OperationalError, match="invalid format|password"):
            connection.ensure_connection()
        assert emulator.token_requests == []
        assert [login.role for login in emulator.logins] == [emulator.identity.role]
