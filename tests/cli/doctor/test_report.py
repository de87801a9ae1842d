"""`doctor`'s report, and the connection strings that it reads."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from azure_postgresql_auth.cli.doctor import program_url

from tests.support.cli import COMMAND
from tests.support.platforms import needs_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run
    from tests.support.doctor import Doctor


def test_working_login_has_no_warnings(doctor: Doctor, emulator: Emulator) -> None:
    report = doctor()
    assert (report.code, report.verdict) == (0, "The login works.")
    steps = [line.split()[1] for line in report.text.splitlines()[:-1] if line.startswith("ok ")]
    assert list(dict.fromkeys(steps)) == [
        "installation",
        "settings",
        "name",
        "connection",
        "tls",
        "credential",
        "token",
        "user",
        "login",
    ]
    assert "psycopg: logged in as emulator-identity, PostgreSQL 1" in report.text
    assert re.search(
        r"TLSv1.3, verify-full passes; certificate of localhost.* root azure_postgresql_auth emulator", report.text
    )
    assert emulator.logins[-1].accepted


class TestProgramsUrl:
    @pytest.mark.parametrize(
        ("url", "driver"),
        [
            ("postgresql+psycopg://{place}", "psycopg"),
            ("postgresql+psycopg_async://{place}?plugin=entra&entra_credential=managed-identity", "psycopg"),
            ("postgresql+psycopg2://{place}?plugin=entra&application_name=me", "psycopg2"),
            ("postgresql://{place}?plugin=entra", "psycopg"),
            ("postgresql+asyncpg://{place}?ssl=verify-full&prepared_statement_cache_size=0&jit=off", "asyncpg"),
            ("postgresql+asyncpg:///{database}?host={host}:{port}", "asyncpg"),
            ("postgresql+pg8000://{place}", "psycopg"),
            ("postgresql:///?host={host}&port={port}&database={database}&ssl=verify-full", "psycopg"),
            ("postgresql:///{database}?host={host}:1&host={host}:{port}", "psycopg"),
            ("postgis://{place}?conn_max_age=60", "psycopg"),
            ("postgres://{place}?sslmode=verify-full", "psycopg"),
        ],
    )
    def test_is_read_as_the_program_reads_it(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, url: str, driver: str
    ) -> None:
        for name in ("PGHOST", "PGPORT", "PGDATABASE"):
            monkeypatch.delenv(name)
        place = f"{emulator.host}:{emulator.port}/{emulator.database}"
        values = {"host": emulator.host, "port": emulator.port, "database": emulator.database, "place": place}
        report = doctor(url.format(**values))
        assert report.code == 0, report.text
        assert f"login         {driver}: logged in as emulator-identity" in report.text
        assert f"port {emulator.port}, database {emulator.database}, sslmode=verify-full" in report.text
        if "plugin" in url:
            assert "left out of the URL: plugin" in report.text
            # Without a driver in it, the URL may be one for libpq or asyncpg.
            for_others = "a plugin is for SQLAlchemy's create_engine, and psycopg, psycopg2 and asyncpg refuse"
            assert (for_others in report.text) == ("+" not in url)

    @pytest.mark.parametrize(
        ("listed", "cause", "remedy"),
        [
            ("", "{place}: AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS is not set", "add {entry} to the variable"),
            (
                "db.example.com",
                "{place}: AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS does not list it",
                "add {entry} to the variable",
            ),
            ("https://db", "AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS has the entry 'https://db'", "correct the variable"),
        ],
    )
    def test_plugin_does_not_log_in_to_a_server_that_is_not_listed(
        self,
        doctor: Doctor,
        emulator: Emulator,
        monkeypatch: pytest.MonkeyPatch,
        listed: str,
        cause: str,
        remedy: str,
    ) -> None:
        monkeypatch.setenv("AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS", listed)
        url = f"postgresql+psycopg://{emulator.host}:{emulator.port}/{emulator.database}"
        report = doctor(f"{url}?plugin=entra")
        place = f"plugin=entra does not log in to {emulator.host!r}, port {emulator.port}"
        assert report.code == 11, report.text
        assert f"failure     settings      AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS={listed}\n" in report.text
        assert cause.format(place=place) in report.cause
        assert remedy.format(entry=f"{emulator.host}:{emulator.port}") in report.remedy
        assert not emulator.logins
        assert doctor(url).code == 0

    @pytest.mark.parametrize(
        ("url", "conninfo"),
        [
            ("postgresql:///d?host=h&application_name=a+b", "postgresql:///d?application_name=a%2Bb&host=h"),
            ("postgresql+psycopg:///d?host=h&application_name=a+b", "postgresql:///d?application_name=a%20b&host=h"),
            (
                "postgresql://u:p%40@[::1]:1/d?host=[::1]:2,h:3",
                "postgresql://u:p%40@[::1]:1/d?host=%3A%3A1%2Ch&port=2%2C3",
            ),
            ("postgresql://h/d?ssl=true&plugin=entra", "postgresql://h/d?ssl=true"),
            ("host=h options='-c a=b://c'", "host=h options='-c a=b://c'"),
            ("postgres", "postgres"),
        ],
    )
    def test_becomes_libpqs(self, url: str, conninfo: str) -> None:
        assert program_url.read(url).conninfo == conninfo

    @pytest.mark.parametrize("url", ["mysql+pymysql://root:secret@h/d", "jdbc:postgresql://h/d?password=secret"])
    def test_url_of_another_database(self, cli: Run, url: str) -> None:
        done = cli("doctor", url)
        assert done.returncode == 2
        assert done.stderr.endswith("is not a URL of PostgreSQL: expected postgresql://\n")
        assert "secret" not in done.stderr


class TestReport:
    def test_nothing_that_a_terminal_acts_on_is_printed(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.refuse("no\x1b]52;c;ZWNobw==\x07 \x9b31m\u202eway")
        report = doctor("application_name=\x1b[31m")
        assert report.cause == "the server refuses the login: no\\x1b]52;c;ZWNobw==\\x07 \\x9b31m\\u202eway"
        assert all(one.isprintable() or one == "\n" for one in report.text)

    def test_json_for_a_support_ticket(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGPASSWORD", "very-secret")
        emulator.refuse(f"very-secret {emulator.token(emulator.identity)} {os.environ['IDENTITY_HEADER']}")
        report = doctor("--json")
        told = json.loads(report.text)
        assert told["exit_code"] == report.code == 18
        assert told["cause"] == "the server refuses the login: **** (a token) ****"
        assert told["verdict"] == f"{told['cause']}. Remedy: {told['remedy']}"
        assert {step["status"] for step in told["steps"]} == {"ok", "passed over", "failure"}
        keys = {"step", "status", "saw", "cause", "remedy", "sql", "seconds"}
        assert all(set(step) == keys for step in told["steps"])
        assert any(step["step"] == "login" and step["seconds"] > 0 for step in told["steps"])
        assert "very-secret" not in report.text

    @needs_terminal
    def test_marks_only_on_a_terminal(self, emulator: Emulator) -> None:
        def printed(**env: str) -> str:
            master, terminal = os.openpty()
            subprocess.run(
                [*COMMAND, "doctor"], stdout=terminal, env={**os.environ, "TERM": "xterm", **env}, check=True
            )
            os.close(terminal)
            text = b""
            with contextlib.suppress(OSError):
                while piece := os.read(master, 65536):
                    text += piece
            os.close(master)
            return text.decode()

        rich, plain = printed(), printed(NO_COLOR="1")
        assert "\033[32m✓\033[0m login" in rich
        assert rich.endswith("\033[32mThe login works.\033[0m\r\n")
        assert "\033" not in plain
        assert plain.endswith("The login works.\r\n")

    def test_a_unix_socket_is_left_to_the_driver(self, doctor: Doctor, emulator: Emulator, tmp_path: Path) -> None:
        report = doctor(f"host={tmp_path.as_posix().removeprefix(tmp_path.drive)}")
        assert report.code == 18
        assert "a Unix socket is left to the driver" in report.text
