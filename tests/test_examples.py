"""The examples run as a reader would run them: each in its own process, with nothing but the settings that they name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

EXAMPLES = Path(__file__).parent.parent / "examples"
AZURE = "myserver.postgres.database.azure.com"
WAYS = [
    ("psycopg3_example.py", "--mode", "sync"),
    ("psycopg3_example.py", "--mode", "async"),
    ("psycopg2_example.py",),
    ("asyncpg_example.py",),
    ("sqlalchemy_example.py", "--mode", "sync", "--driver", "psycopg"),
    ("sqlalchemy_example.py", "--mode", "sync", "--driver", "psycopg2"),
    ("sqlalchemy_example.py", "--mode", "async", "--driver", "psycopg"),
    ("sqlalchemy_example.py", "--mode", "async", "--driver", "asyncpg"),
]
DEMO = {"demo.py", "demo_steps.py"}
SETTINGS = ("POSTGRES_SERVER", "POSTGRES_DATABASE", "HOSTNAME", "DATABASE")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the examples, without whatever `.env` the developer has."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns(".env", "__pycache__")))


def run(folder: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run an example that finds these settings, and by PGHOSTADDR the emulator under an Azure host's name."""
    hidden = {*SETTINGS, "PGHOST", "PGDATABASE", "PGHOSTADDR"}
    env = {name: value for name, value in os.environ.items() if name not in hidden} | settings
    if AZURE in settings.values() or (folder / ".env").exists():
        # Then the default is what has to protect the token.
        del env["PGSSLMODE"]
        env["PGHOSTADDR"] = "127.0.0.1"
    return subprocess.run(
        [sys.executable, "-W", "error", *command],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def check(done: subprocess.CompletedProcess[str], emulator: Emulator) -> None:
    """It says whom the server took it for, at each of its connections, and nothing went wrong on the way."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    ((version,),) = emulator.sql("SHOW server_version")
    lines = done.stdout.splitlines()
    assert len(lines) >= 2
    assert all(line.endswith(f": ('emulator-identity', '{version}')") for line in lines), lines
    assert len(emulator.logins) >= len(lines)
    assert all(login.accepted for login in emulator.logins)


@pytest.mark.parametrize("command", WAYS, ids=" ".join)
def test_runs(command: tuple[str, ...], emulator: Emulator, folder: Path) -> None:
    # asyncpg has no hostaddr, so it cannot take the emulator for an Azure host.
    server = "localhost" if "asyncpg" in "".join(command) else AZURE
    check(run(folder, *command, POSTGRES_SERVER=server, POSTGRES_DATABASE="postgres"), emulator)


def test_each_mode_differs() -> None:
    """Both are the same program; the test above would not see it if it ignored its command line."""


@pytest.mark.parametrize("server", ["POSTGRES_SERVER", "HOSTNAME"])
@pytest.mark.parametrize("database", ["POSTGRES_DATABASE", "DATABASE"])
def test_settings_from_the_environment(server: str, database: str, emulator: Emulator, folder: Path) -> None:
    check(run(folder, "psycopg2_example.py", **{server: AZURE, database: "postgres"}), emulator)
