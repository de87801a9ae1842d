"""`manage.py dbshell` logs psql in."""

from __future__ import annotations

import ast
import os
import sys
from typing import TYPE_CHECKING

import pytest
from azure_postgresql_auth.identity import ManagedIdentityCredential
from django.db import OperationalError
from psycopg.conninfo import conninfo_to_dict

from tests.support.credentials import SyncCredential
from tests.support.django_logins import SECRET
from tests.support.platforms import WINDOWS

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.django import Databases


@pytest.mark.skipif(WINDOWS, reason="Django finds programs by CreateProcess, which a fake psql cannot be for")
class TestShell:
    @pytest.fixture
    def psql(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Install a fake psql that records its arguments and environment."""
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
        # The connection string takes precedence over services, variables and options.
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

    def test_without_a_token_no_shell_starts(self, psql: Path, database: Databases, emulator: Emulator) -> None:
        emulator.fail(400)
        with pytest.raises(OperationalError, match="has not been assigned"):
            database(OPTIONS={"credential": ManagedIdentityCredential()}).client.runshell([])
        assert not psql.exists()

    @pytest.mark.parametrize(
        ("argument", "reason"),
        [
            ("host=srv.postgres.database.azure.com sslmode=disable", "sslmode=disable"),
            (
                "--dbname=host=srv.postgres.database.azure.com gssencmode=prefer",
                "gssencmode=prefer could send the token",
            ),
            ("service=nowhere", "service=nowhere could not be read"),
        ],
    )
    def test_a_connection_string_that_could_expose_the_token(
        self, psql: Path, database: Databases, emulator: Emulator, argument: str, reason: str
    ) -> None:
        with pytest.raises(OperationalError, match=reason):
            database().client.runshell(["-c", "SELECT 1", argument])
        assert not psql.exists()
        assert emulator.token_requests == []

    def test_a_plain_login(self, psql: Path, database: Databases, emulator: Emulator) -> None:
        database(USER="me", PASSWORD=SECRET).client.runshell([])
        arguments, environment = psql.read_text("utf-8").splitlines()
        assert arguments == str(["-U", "me", emulator.database])
        assert f"'PGPASSWORD': '{SECRET}'" in environment
        assert emulator.token_requests == []
