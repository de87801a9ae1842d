"""Django's connections: who logs in, what is concealed, what fails and how."""

from __future__ import annotations

import ast
import copy
import os
import pickle
import pprint
import re
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from azure_postgresql_auth.django import warm_up
from azure_postgresql_auth.errors import EntraConnectionValueError
from azure_postgresql_auth.identity import ClientSecretCredential, ManagedIdentityCredential
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.db.utils import ConnectionDoesNotExist, ConnectionHandler
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter
from psycopg.conninfo import conninfo_to_dict

from tests.django import credentials as django_credentials
from tests.support.credentials import AsyncCredential, SyncCredential
from tests.support.django import ENGINE, who

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator, Identity

    from tests.support.django import Databases

SECRET = "Never-Seen~1"


def principal(emulator: Emulator, name: str = "orders-app") -> Identity:
    """A service principal, found by the environment's authority."""
    return emulator.add_identity(name, "service-principal")


def beside(identity: Identity, emulator: Emulator) -> dict[str, Any]:
    """Its settings beside Django's own."""
    return {
        "TENANT_ID": emulator.tenant_id,
        "CLIENT_ID": identity.client_id,
        "CLIENT_SECRET": identity.client_secret,
        "USER": identity.role,
    }


def aad(identity: Identity, emulator: Emulator) -> dict[str, Any]:
    """Its settings in AAD_OPTIONS."""
    options = {
        "SP_TENANT_ID": emulator.tenant_id,
        "SP_CLIENT_ID": identity.client_id,
        "SP_CLIENT_SECRET": identity.client_secret,
        "REFRESH_BEFORE_MINUTES": 5,
    }
    return {"AAD_OPTIONS": options, "USER": identity.role}


class TestWhoLogsIn:
    def test_without_a_word(self, database: Databases, emulator: Emulator) -> None:
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
    def test_stray_backticks(self, style: Any, database: Databases, emulator: Emulator) -> None:
        entry = style(principal(emulator), emulator)
        keys = entry.get("AAD_OPTIONS", entry)
        for key in list(keys):
            if key.endswith(("CLIENT_SECRET", "TENANT_ID")):
                keys[f"`{key}`"] = keys.pop(key)
        connection = database(**entry)
        with pytest.warns(UserWarning, match="write it so") as warned:
            assert who(connection) == "orders-app"
        assert len(warned) == 2
        for warning in warned:
            assert re.search(r"has the key '`(\w+)`', which is taken for '\1'; write it so$", str(warning.message))
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


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "missing": (
        {"TENANT_ID": "t", "CLIENT_ID": "c"},
        r"\['default'\] lacks CLIENT_SECRET \(not there, or empty\); .* needs TENANT_ID, CLIENT_ID, CLIENT_SECRET$",
    ),
    "empty": (
        {"TENANT_ID": None, "CLIENT_ID": "", "CLIENT_SECRET": None},
        r"lacks TENANT_ID, CLIENT_ID, CLIENT_SECRET",
    ),
    "misspelt": (
        {"TENANT_ID": "t", "CLIENT_ID": "c", "CLIENT_SECRT": SECRET},
        r"lacks CLIENT_SECRET .* It has 'CLIENT_SECRT': did you mean CLIENT_SECRET\?",
    ),
    "all misspelt": (
        {"TENANTID": "t", "CLIENTID": "c", "CLIENTSECRET": SECRET, "PASSWORD": ""},
        r"'TENANTID': did you mean TENANT_ID\?.*'CLIENTSECRET': did you mean CLIENT_SECRET\?",
    ),
    "no string": (
        {"TENANT_ID": "t", "CLIENT_ID": 5, "CLIENT_SECRET": SECRET},
        r"\['CLIENT_ID'\] is int; it is a string",
    ),
    "aad missing": (
        {"AAD_OPTIONS": {"SP_TENANT_ID": "t", "SP_CLIENT_SECRET": SECRET}},
        r"DATABASES\['default'\]\['AAD_OPTIONS'\] lacks SP_CLIENT_ID",
    ),
    "aad unknown": (
        {"AAD_OPTIONS": {"SP_TENANT_ID": "t", "SP_CLIENT_ID": "c", "SP_CLIENT_SECRET": SECRET, "SCOPE": "s"}},
        r"\['AAD_OPTIONS'\] has 'SCOPE'; it knows SP_TENANT_ID, SP_CLIENT_ID, SP_CLIENT_SECRET",
    ),
    "aad misspelt": (
        {"AAD_OPTIONS": {"SP_TENANT_ID": "t", "CLIENT_ID": "c", "SP_CLIENT_SECRET": SECRET}},
        r"\['AAD_OPTIONS'\] lacks SP_CLIENT_ID .* It has 'CLIENT_ID': did you mean SP_CLIENT_ID\?",
    ),
    "aad no dictionary": ({"AAD_OPTIONS": SECRET}, r"\['AAD_OPTIONS'\] has to be a dictionary with SP_TENANT_ID"),
    "aad by another name": (
        {"AAD_OPTION": {"SP_CLIENT_SECRET": SECRET}},
        r"has 'AAD_OPTION'; did you mean AAD_OPTIONS\?",
    ),
    "twice": (
        {
            "TENANT_ID": "t",
            "CLIENT_ID": "c",
            "CLIENT_SECRET": SECRET,
            "AAD_OPTIONS": {"SP_TENANT_ID": "t", "SP_CLIENT_ID": "c", "SP_CLIENT_SECRET": SECRET},
        },
        r"says twice who logs in: by TENANT_ID, CLIENT_ID and CLIENT_SECRET and by AAD_OPTIONS; remove one",
    ),
    "and a credential": (
        {
            "TENANT_ID": "t",
            "CLIENT_ID": "c",
            "CLIENT_SECRET": SECRET,
            "OPTIONS": {"credential": ManagedIdentityCredential},
        },
        r"says twice who logs in: by OPTIONS\['credential'\] and by TENANT_ID",
    ),
    "and a password": (
        {"AAD_OPTIONS": {"SP_TENANT_ID": "t", "SP_CLIENT_ID": "c", "SP_CLIENT_SECRET": SECRET}, "PASSWORD": SECRET},
        r"has a PASSWORD and AAD_OPTIONS; remove the PASSWORD to log in with Microsoft Entra ID",
    ),
    "a password alone": ({"PASSWORD": SECRET}, r"has a PASSWORD and no USER"),
    "credentials": ({"OPTIONS": {"credentials": ManagedIdentityCredential()}}, "it is called 'credential'"),
    "upper case": ({"OPTIONS": {"SCOPE": "s"}}, r"\['OPTIONS'\] has 'SCOPE'; it is called 'scope' here"),
    "no such module": (
        {"OPTIONS": {"credential": "no_such.thing"}},
        r"is 'no_such.thing', which cannot be imported, ModuleNotFoundError: No mod",
    ),
    "no such name": (
        {"OPTIONS": {"credential": "tests.django.credentials.thing"}},
        r"is 'tests.django.credentials.thing', which cannot be imported, ImportError: .* does not define",
    ),
    "a module that fails": (
        {"OPTIONS": {"credential": "tests.django.broken.credential"}},
        r"is 'tests.django.broken.credential', which cannot be imported, KeyError: 'VAULT'$",
    ),
    "credential beside": (
        {"credential": ManagedIdentityCredential()},
        r"\['default'\] has 'credential', which is not a setting of a database; did you mean OPTIONS\['credential'\]\?",
    ),
    "in capitals": (
        {"CREDENTIAL": "tests.django.credentials.make"},
        r"'CREDENTIAL', .* mean OPTIONS\['credential'\]\?",
    ),
    "longer": ({"AZURE_CREDENTIAL": "x"}, r"'AZURE_CREDENTIAL', .* mean OPTIONS\['credential'\]\?"),
    "scope beside": ({"SCOPE": "s"}, r"has 'SCOPE', .* did you mean OPTIONS\['scope'\]\?"),
    "option": ({"OPTION": {"credential": "x"}}, r"has 'OPTION', .* did you mean OPTIONS\?"),
    "unknown": (
        {"IDENTITY": "x"},
        r"has 'IDENTITY', which is not a setting of a database; known are AAD_OPTIONS, ATOMIC_",
    ),
    "unknown with a password": ({"IDENTITY": "x", "USER": "me", "PASSWORD": SECRET}, "has 'IDENTITY'"),
    "no flag": (
        {"OPTIONS": {"allow_insecure_transport": "maybe"}},
        r"\['OPTIONS'\]\['allow_insecure_transport'\] is 'maybe'; expected True or False",
    ),
    "no credential": (
        {"OPTIONS": {"credential": "tests.django.credentials.nothing"}},
        r"\['credential'\]: credential is required to have a get_token method",
    ),
    "asynchronous": ({"OPTIONS": {"credential": AsyncCredential("t")}}, r"credential is required to be synchronous"),
    "no name": ({"NAME": "", "TENANT_ID": "t"}, "Please supply the NAME"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
class TestMistakes:
    def test_are_named(self, mistake: str, database: Databases, emulator: Emulator) -> None:
        entry, text = MISTAKES[mistake]
        connection = database(**entry)
        with pytest.raises(ImproperlyConfigured, match=text) as caught:
            connection.ensure_connection()
        assert SECRET not in "".join(report(caught.value))
        assert emulator.token_requests == []
        assert emulator.logins == []

    def test_are_found_by_the_checks(self, mistake: str, database: Databases) -> None:
        entry, _ = MISTAKES[mistake]
        (message,) = database(**entry).validation.check()
        assert message.id == "azure_postgresql_auth.E001"
        assert "\n" not in message.msg.replace("improperly configured. ", "")


def report(error: BaseException) -> list[str]:
    """Django's debug page and its report by mail, as they show this error with DEBUG."""
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next  # without the test's own frame
    reporter = ExceptionReporter(None, type(error), error, error.__traceback__)
    return [reporter.get_traceback_html(), reporter.get_traceback_text(), repr(error), str(error)]


class Revealing(SyncCredential):
    def __repr__(self) -> str:
        return f"Revealing({self.token!r})"


def refuse_to_be_made() -> Any:
    secret = SECRET
    raise ValueError(len(secret))


class TestSecrets:
    def test_settings_do_not_print(self, database: Databases) -> None:
        entry: dict[str, Any] = {
            "PASSWORD": SECRET,
            "CLIENT_SECRET": SECRET,
            "CLIENT_SECRT": SECRET,
            "AAD_OPTIONS": {"`SP_CLIENT_SECRET`": SECRET, "SP_SECRET": SECRET},
            "OPTIONS": {"password": SECRET, "sslpassword": SECRET, "credential": Revealing(SECRET)},
        }
        settings = database(**entry).settings_dict
        shown = [
            settings,
            copy.deepcopy(settings),
            SafeExceptionReporterFilter().cleanse_setting("DATABASES", settings),
        ]
        for printed in (text(value) for value in shown for text in (repr, str, pprint.pformat)):
            assert SECRET not in printed
        # Whoever reads them has them.
        assert settings["CLIENT_SECRET"] == str(settings["PASSWORD"]) == settings["OPTIONS"]["password"] == SECRET

    @pytest.mark.parametrize(
        "credential",
        [
            partial(ClientSecretCredential, "tenant", "client", SECRET),
            Revealing(SECRET),
            Revealing,
            "tests.django.credentials.make",
        ],
    )
    def test_a_credential_prints_its_name(self, credential: Any, database: Databases) -> None:
        settings = database(OPTIONS={"credential": credential}).settings_dict
        assert SECRET not in pprint.pformat(settings)
        for copied in (copy.deepcopy(settings), copy.copy(settings), {**settings}):
            assert SECRET not in repr(copied)
            assert copied["OPTIONS"]["credential"] is credential
        assert SECRET not in pprint.pformat(SafeExceptionReporterFilter().cleanse_setting("DATABASES", settings))
        assert SECRET not in repr(copy.copy(settings["OPTIONS"]))
        assert {**settings["OPTIONS"]}["credential"] is credential

    def test_a_project_can_use_the_credential_of_its_settings(self, database: Databases, emulator: Emulator) -> None:
        credential = ManagedIdentityCredential()
        databases: dict[str, Any] = {
            "default": {"ENGINE": ENGINE, "NAME": emulator.database, "OPTIONS": {"credential": credential}}
        }
        handler = ConnectionHandler(databases)
        assert who(database.handled(handler, "default")) == emulator.identity.name
        assert databases["default"]["OPTIONS"]["credential"] is credential
        assert handler["default"].settings_dict is databases["default"], "as Django's test runner relies on"

    def test_settings_for_a_spawned_process(self, database: Databases) -> None:
        settings = database(OPTIONS={"credential": ManagedIdentityCredential, "sslpassword": SECRET}).settings_dict
        options = pickle.loads(pickle.dumps(settings))["OPTIONS"]  # noqa: S301
        assert (options["credential"], options["sslpassword"]) == (ManagedIdentityCredential, SECRET)
        assert SECRET not in repr(options)

    @pytest.mark.parametrize("pool", [False, {"min_size": 1, "timeout": 3, "reconnect_timeout": 1}])
    def test_a_refused_token_is_in_no_report(
        self, pool: Any, database: Databases, emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        token = emulator.token(emulator.identity)
        connection = database("refused", USER="nobody", OPTIONS={"credential": Revealing(token), "pool": pool})
        with pytest.raises(OperationalError, match='failed for user "nobody"') as caught:
            connection.ensure_connection()
        assert emulator.logins
        assert token not in "".join([*report(caught.value), *caplog.messages])

    def test_a_secret_that_is_refused_is_in_no_report(self, database: Databases, emulator: Emulator) -> None:
        entry = {**beside(principal(emulator), emulator), "CLIENT_SECRET": SECRET}
        with pytest.raises(OperationalError, match="AADSTS7000215") as caught:
            database(**entry).ensure_connection()
        assert SECRET not in "".join(report(caught.value))

    @pytest.mark.parametrize(
        ("credential", "text"),
        [
            (partial(ClientSecretCredential, "a tenant", "client", SECRET), "could not be made, ValueError: .*tenant"),
            (refuse_to_be_made, r"\['credential'\] could not be made, ValueError: 12"),
            (
                partial(ManagedIdentityCredential, identity_config={SECRET[:0]: SECRET}),
                "ValueError: identity_config has",
            ),
        ],
    )
    def test_one_that_cannot_be_made(self, credential: Any, text: str, database: Databases) -> None:
        with pytest.raises(ImproperlyConfigured, match=text) as caught:
            database(OPTIONS={"credential": credential}).ensure_connection()
        assert SECRET not in "".join(report(caught.value))

    def test_what_a_credential_keeps_is_in_no_report(self, database: Databases) -> None:
        credential = Revealing("a.b.c")
        credential.error = RuntimeError("the vault is closed")

        class Vault:
            def get_token(self, *scopes: str, **_: Any) -> Any:
                secret = SECRET
                assert secret
                return credential.get_token(*scopes)

        with pytest.raises(OperationalError, match="the vault is closed") as caught:
            database(OPTIONS={"credential": Vault()}).ensure_connection()
        assert SECRET not in "".join(report(caught.value))


class TestFailures:
    def test_no_token(self, database: Databases, emulator: Emulator) -> None:
        emulator.fail(400)
        connection = database(OPTIONS={"credential": ManagedIdentityCredential()})
        with pytest.raises(
            OperationalError, match="Could not retrieve Entra credentials: .* has not been assigned"
        ) as caught:
            connection.ensure_connection()
        assert isinstance(caught.value.__cause__, psycopg.OperationalError)
        assert isinstance(caught.value.__cause__, EntraConnectionValueError)
        (message,) = connection.validation.check()
        assert (message.id, "\n" in message.msg) == ("azure_postgresql_auth.E002", False)
        emulator.heal()
        assert who(connection) == emulator.identity.name

    def test_nothing_to_sign_in_with(self, database: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
        from azure_postgresql_auth.identity import EnvironmentCredential

        monkeypatch.setenv("AZURE_TENANT_ID", "")
        (message,) = database(OPTIONS={"credential": EnvironmentCredential}).validation.check()
        assert message.id == "azure_postgresql_auth.E002"
        assert "AZURE_CLIENT_SECRET" in message.msg
        assert "\n" not in message.msg

    def test_no_encryption(self, database: Databases, emulator: Emulator) -> None:
        connection = database(HOST="db.example.com", OPTIONS={"sslmode": "prefer"})
        with pytest.raises(OperationalError, match="sslmode=prefer could send the token"):
            connection.ensure_connection()
        (message,) = connection.validation.check()
        assert message.id == "azure_postgresql_auth.E003"
        assert emulator.token_requests == []

    def test_refused(self, database: Databases) -> None:
        (message,) = database(USER="nobody").validation.check()
        assert message.id == "azure_postgresql_auth.E004"
        assert 'password authentication failed for user "nobody"' in message.msg
        assert "pgaadauth_list_principals" in message.hint

    def test_an_exhausted_pool_says_nothing_of_logins(self, database: Databases) -> None:
        with pytest.raises(OperationalError, match="nobody"):
            database("other", USER="nobody").ensure_connection()
        connection = database("small", OPTIONS={"pool": {"min_size": 1, "max_size": 1, "timeout": 0.2}})
        connection.ensure_connection()
        with pytest.raises(OperationalError, match=r"couldn't get a connection after 0.20 sec$"):
            database.copy(connection).ensure_connection()

    def test_a_pool_tells_why_it_has_none(self, database: Databases, emulator: Emulator) -> None:
        emulator.fail(400)
        options = {"credential": ManagedIdentityCredential(), "pool": {"min_size": 1, "timeout": 2}}
        connection = database("none", OPTIONS=options)
        with pytest.raises(
            OperationalError, match="after 2.00 sec; the last attempt to connect failed: Could not retrieve"
        ):
            connection.ensure_connection()

    def test_a_check_does_not_wait_for_a_pool(self, database: Databases, emulator: Emulator) -> None:
        emulator.fail(400)
        options = {"credential": ManagedIdentityCredential(), "pool": {"timeout": 60}}
        started = time.monotonic()
        (message,) = database("waiting", OPTIONS=options).validation.check()
        assert message.id == "azure_postgresql_auth.E002"
        assert time.monotonic() - started < 30


class TestLifetimes:
    @pytest.mark.parametrize("pool", [False, {"min_size": 1, "max_size": 4}])
    def test_a_revoked_token_is_replaced(self, pool: object, database: Databases, emulator: Emulator) -> None:
        options = {"credential": ManagedIdentityCredential(), "pool": pool}
        first = database("revoked", OPTIONS=options)
        assert who(first) == emulator.identity.name
        emulator.revoke(emulator.identity.name)
        copies = [database.copy(first) for _ in range(3)]
        assert [who(connection) for connection in copies] == [emulator.identity.name] * 3
        # A pool may open two at once.
        assert 1 <= [login.accepted for login in emulator.logins].count(False) <= (2 if pool else 1)
        assert len(emulator.token_requests) == 2

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

    @pytest.mark.parametrize("checks", [False, True])
    def test_a_pool_outlives_its_tokens(self, checks: object, database: Databases, emulator: Emulator) -> None:
        emulator.lifetime = 2
        options = {"credential": ManagedIdentityCredential(), "pool": {"min_size": 1, "max_size": 8}}
        alias = f"pooled-{checks}"
        first = database(alias, OPTIONS=options, CONN_HEALTH_CHECKS=checks)
        connections = [first]
        assert who(first) == emulator.identity.name
        for _ in range(3):
            time.sleep(2.1)
            connections.append(database.copy(first))
            assert who(connections[-1]) == emulator.identity.name
        # An open one outlives its token.
        assert {who(connection) for connection in connections} == {emulator.identity.name}
        assert all(login.accepted for login in emulator.logins)
        assert len(emulator.logins) >= 4
        assert len(emulator.token_requests) >= 3

    def test_a_pool_keeps_its_own_class(self, database: Databases, emulator: Emulator) -> None:
        class Mine(psycopg.Connection[Any]):
            pass

        connection = database("mine", OPTIONS={"pool": {"min_size": 1, "connection_class": Mine}})
        assert who(connection) == emulator.identity.name
        assert isinstance(connection.connection, Mine)

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
        emulator.lifetime = 2
        connection = database(CONN_MAX_AGE=1, OPTIONS={"credential": ManagedIdentityCredential()})
        for _ in range(3):
            assert who(connection) == emulator.identity.name
            time.sleep(2.1)
            connection.close_if_unusable_or_obsolete()
        assert [login.accepted for login in emulator.logins] == [True] * 3
        assert len(emulator.token_requests) == 3

    def test_health_checks_log_in_anew(self, database: Databases, emulator: Emulator) -> None:
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


class TestShell:
    @pytest.fixture
    def psql(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A psql that tells what it was given."""
        script = f"#!{sys.executable}\nimport os, sys\n"
        script += "print(sys.argv[1:], file=open('told', 'w'))\n"
        script += "print({k: v for k, v in os.environ.items() if k.startswith('PG')}, file=open('told', 'a'))\n"
        (tmp_path / "psql").write_text(script, "utf-8")
        (tmp_path / "psql").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.chdir(tmp_path)
        return tmp_path / "told"

    def test_the_token_is_in_the_environment(self, psql: Path, database: Databases, emulator: Emulator) -> None:
        token = emulator.token(emulator.identity)
        options = {"credential": SyncCredential(token)}
        database(HOST="server.postgres.database.azure.com", OPTIONS=options).client.runshell(["-c", "SELECT 1"])
        arguments, environment = psql.read_text("utf-8").splitlines()
        user, host = emulator.identity.name, "server.postgres.database.azure.com"
        # The connection string wins, whatever a service, a variable or an option says.
        option, conninfo, *given = ast.literal_eval(arguments)
        assert (option, given) == ("-d", ["-c", "SELECT 1"])
        said = conninfo_to_dict(conninfo)
        assert (said["user"], said["host"], said["dbname"]) == (user, host, emulator.database)
        assert (said["hostaddr"], said["sslmode"], said["gssencmode"]) == ("", "verify-full", "disable")
        assert token not in arguments
        assert f"'PGPASSWORD': '{token}'" in environment
        assert "PGPASSWORD" not in os.environ

    def test_an_azure_server_is_verified(
        self, psql: Path, database: Databases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from azure_postgresql_auth.tls import AZURE_ROOTS

        for name in ("PGSSLMODE", "PGSSLROOTCERT"):
            monkeypatch.delenv(name)
        database(HOST="server.postgres.database.azure.com").client.runshell([])
        (_, conninfo) = ast.literal_eval(psql.read_text("utf-8").splitlines()[0])
        said = conninfo_to_dict(conninfo)
        assert (said["sslmode"], said["sslrootcert"]) == ("verify-full", AZURE_ROOTS)

    def test_no_token_no_shell(self, psql: Path, database: Databases, emulator: Emulator) -> None:
        emulator.fail(400)
        with pytest.raises(OperationalError, match="has not been assigned"):
            database(OPTIONS={"credential": ManagedIdentityCredential()}).client.runshell([])
        assert not psql.exists()

    def test_a_plain_login(self, psql: Path, database: Databases, emulator: Emulator) -> None:
        database(USER="me", PASSWORD=SECRET).client.runshell([])
        arguments, environment = psql.read_text("utf-8").splitlines()
        assert arguments == str(["-U", "me", emulator.database])
        assert f"'PGPASSWORD': '{SECRET}'" in environment
        assert emulator.token_requests == []
