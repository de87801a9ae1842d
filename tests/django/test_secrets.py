"""Django's settings, reports and failures show no secret and no token."""

from __future__ import annotations

import copy
import pickle
import pprint
import time
import traceback
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from azure_postgresql_auth.errors import EntraConnectionValueError
from azure_postgresql_auth.identity import ClientSecretCredential, ManagedIdentityCredential
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.db.utils import ConnectionHandler
from django.views.debug import SafeExceptionReporterFilter

from tests.support.credentials import SyncCredential
from tests.support.django import ENGINE, needs_pools, who
from tests.support.django_logins import SECRET, beside, principal, report
from tests.support.polling import eventually

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

    from tests.support.django import Databases


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
        # A program that reads the value gets the secret.
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

    @pytest.mark.parametrize(
        "pool",
        [{}, pytest.param({"pool": {"min_size": 1, "timeout": 3, "reconnect_timeout": 1}}, marks=needs_pools)],
    )
    def test_a_refused_token_is_in_no_report(
        self, pool: Any, database: Databases, emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        token = emulator.token(emulator.identity)
        connection = database("refused", USER="nobody", OPTIONS={"credential": Revealing(token), **pool})
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
    def test_credential_that_cannot_be_created(self, credential: Any, text: str, database: Databases) -> None:
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
        # Before Python 3.11, it is in the text.
        assert 'The token names "emulator-identity"' in f"{message.msg} {message.hint}"

    @needs_pools
    def test_an_exhausted_pool_says_nothing_of_logins(self, database: Databases) -> None:
        with pytest.raises(OperationalError, match="nobody"):
            database("other", USER="nobody").ensure_connection()
        connection = database("small", OPTIONS={"pool": {"min_size": 1, "max_size": 1, "timeout": 0.2}})

        def is_open() -> bool:
            with suppress(OperationalError):  # not within 0.2 s
                connection.ensure_connection()
            return bool(connection.connection)

        eventually(is_open)
        with pytest.raises(OperationalError, match=r"couldn't get a connection after 0.20 sec$"):
            database.copy(connection).ensure_connection()

    @needs_pools
    def test_a_pool_tells_why_it_has_none(self, database: Databases, emulator: Emulator) -> None:
        emulator.fail(400)
        options = {"credential": ManagedIdentityCredential(), "pool": {"min_size": 1, "timeout": 2}}
        connection = database("none", OPTIONS=options)
        with pytest.raises(
            OperationalError, match="after 2.00 sec; the last attempt to connect failed: Could not retrieve"
        ):
            connection.ensure_connection()

    @needs_pools
    def test_a_pool_passes_on_what_to_do_about_a_refusal(self, database: Databases) -> None:
        """The error that Django logs with its traceback has the hint that a login without a pool has."""
        options = {"credential": ManagedIdentityCredential(), "pool": {"min_size": 1, "timeout": 2}}
        connection = database("nobody", USER="nobody", OPTIONS=options)
        with pytest.raises(OperationalError, match="password authentication failed") as raised:
            connection.ensure_connection()
        shown = "".join(traceback.format_exception(raised.type, raised.value, raised.tb))
        assert 'The token names "emulator-identity"' in shown

    @needs_pools
    def test_a_pool_passes_on_the_report_of_a_failure(self, database: Databases, emulator: Emulator) -> None:
        emulator.fail(429, headers={"Retry-After": "60"})
        options = {"credential": ManagedIdentityCredential(), "pool": {"min_size": 1, "timeout": 2}}
        connection = database("throttled", OPTIONS=options)
        with pytest.raises(OperationalError, match="the last attempt to connect failed") as raised:
            connection.ensure_connection()
        timeout = raised.value.__cause__
        assert timeout is not None
        failure = timeout.__cause__
        assert isinstance(failure, EntraConnectionValueError)
        assert (failure.report.code, failure.report.retry_after) == ("throttled", 60.0)

    def test_a_check_does_not_wait_for_a_pool(self, database: Databases, emulator: Emulator) -> None:
        emulator.fail(400)
        options = {"credential": ManagedIdentityCredential(), "pool": {"timeout": 60}}
        started = time.monotonic()
        (message,) = database("waiting", OPTIONS=options).validation.check()
        assert message.id == "azure_postgresql_auth.E002"
        assert time.monotonic() - started < 30
