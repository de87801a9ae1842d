"""The examples run as a reader would run them: each in its own process, with the settings that they ask for."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

EXAMPLES = Path(__file__).parents[2] / "examples"
AZURE = "myserver.postgres.database.azure.com"
# What each of them connects through, in this order.
PROGRAMS = {
    "psycopg3_example.py --mode sync": ["EntraConnection", "ConnectionPool"],
    "psycopg3_example.py --mode async": ["AsyncEntraConnection", "AsyncConnectionPool"],
    "psycopg2_example.py": ["EntraConnection", "ThreadedConnectionPool"],
    "asyncpg_example.py": ["connect", "create_pool"],
    "sqlalchemy_example.py --mode sync --driver psycopg": ["create_engine, no pool", "create_engine"],
    "sqlalchemy_example.py --mode sync --driver psycopg2": ["create_engine, no pool", "create_engine"],
    "sqlalchemy_example.py --mode async --driver psycopg": ["create_async_engine, no pool", "create_async_engine"],
    "sqlalchemy_example.py --mode async --driver asyncpg": [
        "create_async_engine, no pool",
        "create_async_engine",
        "create_asyncpg_engine",
    ],
}
DASK = "dask_example.py --workers 2"
ONE = "psycopg2_example.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the examples, without a developer's `.env`."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns(".env", "__pycache__")))


def run(folder: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    hidden = {"POSTGRES_SERVER", "POSTGRES_DATABASE", "HOSTNAME", "DATABASE", "PGHOST", "PGDATABASE", "PGSSLMODE"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    # libpq connects there, whatever the server's name; its certificate bears Azure's.
    kept["PGHOSTADDR"] = "127.0.0.1"
    return subprocess.run(
        [sys.executable, "-W", "error", *command.split()],
        env={**kept, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_logged_in(done: subprocess.CompletedProcess[str], command: str, emulator: Emulator) -> None:
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    ((version,),) = emulator.sql("SHOW server_version")
    assert done.stdout.splitlines() == [f"{name}: ('emulator-identity', '{version}')" for name in PROGRAMS[command]]
    assert len(emulator.logins) >= len(PROGRAMS[command])
    assert all(login.accepted and login.tls_version for login in emulator.logins)


@pytest.mark.parametrize("command", PROGRAMS)
def test_example_logs_in(command: str, emulator: Emulator, folder: Path) -> None:
    # asyncpg knows no PGHOSTADDR.
    where = (
        {"POSTGRES_SERVER": "localhost", "PGSSLMODE": "verify-full"}
        if "asyncpg" in command
        else {"POSTGRES_SERVER": AZURE}
    )
    assert_logged_in(run(folder, command, POSTGRES_DATABASE="postgres", **where), command, emulator)


def test_dask(emulator: Emulator, folder: Path) -> None:
    """Each worker process asks for one token, however many tasks it gets. What the scheduler logs is its own affair."""
    done = run(folder, DASK, POSTGRES_SERVER=AZURE, POSTGRES_DATABASE="postgres")
    ((rows,),) = emulator.sql("SELECT count(*) FROM pg_proc")
    expected = f"{rows} rows in 24 parts, read by 2 processes as emulator-identity\n"
    assert (done.returncode, done.stdout) == (0, expected), done.stderr
    assert [login.accepted for login in emulator.logins] == [True] * 24
    assert len(emulator.token_requests) == 2


def test_no_example_is_left_out() -> None:
    files = {path.name for path in EXAMPLES.glob("*.py")}
    commands = {command.split()[0] for command in (*PROGRAMS, DASK)}
    assert files == commands | {"settings.py", "demo.py", "demo_steps.py"}


def test_the_demo_can_be_imported(emulator: Emulator, folder: Path) -> None:
    (folder / "importing.py").write_text("import demo\nassert len(demo.CHAPTERS) > 4\n", "utf-8")
    done = run(folder, "importing.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert emulator.token_requests == []


class TestSettings:
    @pytest.mark.parametrize("server", ["POSTGRES_SERVER", "HOSTNAME"])
    @pytest.mark.parametrize("database", ["POSTGRES_DATABASE", "DATABASE"])
    def test_from_the_environment(self, server: str, database: str, emulator: Emulator, folder: Path) -> None:
        done = run(folder, ONE, **{server: AZURE, database: "postgres"})
        assert_logged_in(done, ONE, emulator)

    def test_from_the_file(self, emulator: Emulator, folder: Path) -> None:
        """As the example of it stands, with this machine's name in HOSTNAME, as shells have it."""
        (folder / ".env.example").rename(folder / ".env")
        assert_logged_in(run(folder, ONE, HOSTNAME=socket.gethostname()), ONE, emulator)

    @pytest.mark.parametrize(
        "text",
        [
            f"HOSTNAME={AZURE}\nDATABASE=postgres\n",
            f"# a comment\r\n\r\n export POSTGRES_SERVER = \"{AZURE}\" # mine\r\nPOSTGRES_DATABASE='postgres'",
            f"POSTGRES_SERVER={AZURE}  # mine\nDATABASE=postgres\nDATABASES=a=b\n#POSTGRES_SERVER=elsewhere\nnothing\n",
        ],
    )
    def test_what_a_file_may_look_like(self, text: str, emulator: Emulator, folder: Path) -> None:
        (folder / ".env").write_bytes(text.encode())
        assert_logged_in(run(folder, ONE), ONE, emulator)

    def test_the_environment_wins_over_the_file(self, emulator: Emulator, folder: Path) -> None:
        (folder / ".env").write_text(f"POSTGRES_SERVER={AZURE}\nPOSTGRES_DATABASE=missing\n", "utf-8")
        assert 'database "missing" does not exist' in run(folder, ONE).stderr
        assert_logged_in(run(folder, ONE, POSTGRES_DATABASE="postgres"), ONE, emulator)

    @pytest.mark.parametrize("environment", [{}, {"POSTGRES_SERVER": AZURE}, {"DATABASE": "postgres"}])
    def test_missing(self, environment: dict[str, str], emulator: Emulator, folder: Path) -> None:
        done = run(folder, ONE, **environment)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("Set POSTGRES_SERVER and POSTGRES_DATABASE, or copy .env.example to .env")
        assert emulator.token_requests == []


def test_a_driver_that_does_not_go_with_the_mode(folder: Path) -> None:
    done = run(folder, "sqlalchemy_example.py --mode async --driver psycopg2")
    assert done.returncode == 2
    assert "--mode async goes with --driver psycopg or asyncpg" in done.stderr


@pytest.mark.parametrize("command", [*PROGRAMS, DASK])
def test_a_login_that_fails_is_seen(command: str, emulator: Emulator, folder: Path) -> None:
    emulator.fail(400)
    done = run(folder, command, POSTGRES_SERVER=AZURE, POSTGRES_DATABASE="postgres")
    assert done.returncode == 1
    assert "EntraOperationalError: Could not retrieve Entra credentials" in done.stderr
    assert emulator.logins == []
