"""The user's own service file is read where the driver reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from asyncpg import compat
from azure_postgresql_auth import asyncpg as entra_asyncpg
from azure_postgresql_auth import psycopg3 as entra_psycopg3
from azure_postgresql_auth._engine.connect import NO_OPTIONS

from tests.support.connection_settings import AZURE, DriversOwnError, by_psycopg3
from tests.support.platforms import WINE

if TYPE_CHECKING:
    from pathlib import Path


def test_asyncpg_says_in_which_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PGSERVICEFILE", raising=False)
    (tmp_path / ".pg_service.conf").write_text(f"[mine]\nhost={AZURE}\n", "utf-8")
    for folder, hosts in ((tmp_path, (AZURE,)), (tmp_path / "missing", ()), (None, ())):
        monkeypatch.setattr(compat, "get_pg_home_directory", lambda folder=folder: folder)
        plan = entra_asyncpg.plan_for("postgresql:///db?service=mine", {}, NO_OPTIONS)
        assert plan.target is not None
        assert plan.target[0] == hosts


def test_an_empty_system_folder_is_the_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pg_service.conf").write_text(f"[here]\nhost={AZURE}\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder, hosts in ((".", (AZURE,)), ("", None)):
        monkeypatch.setenv("PGSYSCONFDIR", folder)
        plan = entra_psycopg3.plan_for({"service": "here"}, {}, NO_OPTIONS)
        assert (plan.target and plan.target[0]) == hosts
        assert plan.has_unresolved_service == (hosts is None)
    with pytest.raises(DriversOwnError):
        by_psycopg3("service=here", {})


@pytest.mark.skipif(not WINE, reason="it would write into this user's profile")
def test_libpq_asks_windows_and_not_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = compat.get_pg_home_directory()
    assert folder is not None
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("APPDATA", str(tmp_path))
    file = folder / ".pg_service.conf"
    file.write_text(f"[of the profile]\nhost={AZURE}\n", "utf-8")
    try:
        plan = entra_psycopg3.plan_for({"service": "of the profile"}, {}, NO_OPTIONS)
        assert plan.target is not None
        assert plan.target[0] == (AZURE,)
        assert by_psycopg3("", plan.arguments()).places == ((AZURE, "", "5432"),)
    finally:
        file.unlink()
