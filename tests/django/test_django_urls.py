"""Databases whose settings come from URLs, by the packages that read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError

from tests.django import credentials as django_credentials
from tests.support.django import ENGINE, who

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

    from tests.support.django import Databases

dj_database_url = pytest.importorskip("dj_database_url")
environ = pytest.importorskip("environ")


def by_dj_database_url(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    return dj_database_url.parse(url, engine=ENGINE, conn_max_age=60, conn_health_checks=True)


def by_dj_database_url_registered(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(dj_database_url, "ENGINE_SCHEMES", {**dj_database_url.ENGINE_SCHEMES})
    dj_database_url.register("entra", ENGINE)
    monkeypatch.setenv("DATABASE_URL", url.replace("postgresql:", "entra:"))
    return dj_database_url.config()


def by_django_environ(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DATABASE_URL", url + "&conn_max_age=60")
    return environ.Env().db(engine=ENGINE)


def by_django_environ_registered(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(environ.Env.DB_SCHEMES, "entra", ENGINE)
    return environ.Env.db_url_config(url.replace("postgresql:", "entra:"))


pytestmark = pytest.mark.parametrize(
    "by", [by_dj_database_url, by_dj_database_url_registered, by_django_environ, by_django_environ_registered]
)


def test_log_in(by: Any, database: Databases, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(django_credentials.made)
    url = f"postgresql://{emulator.host}:{emulator.port}/{emulator.database}"
    entry = by(f"{url}?credential=tests.django.credentials.make&allow_insecure_transport=false", monkeypatch)
    assert entry["ENGINE"] == ENGINE
    connection = database(**entry)
    assert who(connection) == emulator.identity.name
    assert len(django_credentials.made) - before <= 1
    assert connection.validation.check() == []


def test_a_user_that_is_an_address(
    by: Any, database: Databases, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_group("team@contoso.com", [emulator.identity])
    url = f"postgresql://team%40contoso.com@{emulator.host}:{emulator.port}/{emulator.database}"
    assert who(database(**by(f"{url}?application_name=shop", monkeypatch))) == "team@contoso.com"


def test_false_is_false_although_it_is_text(
    by: Any, database: Databases, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written false is false, though it is text."""
    url = "postgresql://db.example.com/orders?sslmode=disable&connect_timeout=1&allow_insecure_transport="
    with pytest.raises(OperationalError, match="sslmode=disable could send the token"):
        database(**by(url + "False", monkeypatch)).ensure_connection()
    assert emulator.token_requests == []
    assert database(**by(url + "true", monkeypatch)).get_connection_params()["allow_insecure_transport"] is True
