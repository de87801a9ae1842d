"""`pgpass`: a password file for programs that read it for every connection, with libpq and asyncpg."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Callable

import asyncpg
import psycopg
import pytest
from azure_postgresql_auth import core
from azure_postgresql_auth.cli.failure import Failure
from azure_postgresql_auth.cli.passfile import Passfile, merged
from azure_postgresql_auth.tls import AZURE_ROOTS

from tests.support.cli import COMMAND
from tests.support.keeping import events, stopped
from tests.support.platforms import LIMIT, WINDOWS, needs_signals
from tests.support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run

AZURE = "srv.postgres.database.azure.com"
ROLE = "emulator-identity"


@pytest.fixture
def passfile(tmp_path: Path) -> Path:
    """As its owner left it."""
    tmp_path.chmod(0o700)
    path = tmp_path / "pgpass"
    path.write_text("# mine\nother:*:*:me:secret\n")
    path.chmod(0o640)
    return path


@pytest.fixture
def keep(passfile: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `azure-postgresql-auth pgpass`; stop what still runs."""
    running = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [*COMMAND, "pgpass", "--file", str(passfile), *arguments]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def token_in(passfile: Path) -> str:
    try:
        first = passfile.read_text().splitlines()[0]
    except PermissionError:
        if not WINDOWS:
            raise
        return ""  # it is being replaced
    return first.rpartition(":")[2] if first.startswith("localhost:*:*:") else ""


async def asyncpg_user(emulator: Emulator, passfile: Path) -> str:
    connection = await asyncpg.connect(emulator.dsn, user=ROLE, passfile=str(passfile))
    try:
        return str(await connection.fetchval("SELECT session_user"))
    finally:
        await connection.close()


def test_logins_go_on_through_expiry(emulator: Emulator, keep: Any, passfile: Path, tmp_path: Path) -> None:
    emulator.lifetime = 10
    health = tmp_path / "health"
    process = keep("--host", "localhost", "--user", ROLE, "--health-file", str(health))
    first = core.decode_jwt(eventually(lambda: token_in(passfile)))
    assert passfile.read_text().endswith("\n# mine\nother:*:*:me:secret\n")
    eventually(health.exists)
    while time.time() < first["exp"] + 2:
        with psycopg.connect(emulator.dsn, user=ROLE, passfile=str(passfile)) as connection:
            assert connection.info.user == ROLE
        assert asyncio.run(asyncpg_user(emulator, passfile)) == ROLE
        time.sleep(1)
    assert all(login.accepted for login in emulator.logins)
    assert json.loads(health.read_text())["users"][ROLE]["expires_on"]
    process.kill()
    _, stderr = process.communicate()
    assert [event["event"] for event in events(stderr)].count("written") >= 2


@needs_signals
def test_a_signal_stops_it(emulator: Emulator, keep: Any, passfile: Path, tmp_path: Path) -> None:
    health = tmp_path / "health"
    process = keep("--host", "localhost", "--health-file", str(health))
    eventually(health.exists)
    assert passfile.stat().st_mode & 0o777 == 0o600
    stopped(process)
    assert not health.exists()


def test_a_command_runs_with_the_file(emulator: Emulator, keep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.lifetime = 10
    monkeypatch.setenv("PGPASSWORD", "stale")
    script = (
        "import psycopg, sys, time\n"
        "for wait in 0, 6, 6:\n"
        "    time.sleep(wait)\n"
        "    with psycopg.connect('') as connection: print(connection.info.user, flush=True)\n"
        "sys.exit(7)"
    )
    process = keep("--host", "localhost", "--", sys.executable, "-c", script)
    stdout, stderr = process.communicate(timeout=LIMIT)
    assert (stdout.split(), process.returncode) == ([ROLE] * 3, 7)
    assert "eyJ" not in stderr


@needs_signals
def test_a_signal_reaches_the_command(emulator: Emulator, keep: Any, tmp_path: Path) -> None:
    health = tmp_path / "health"
    script = "import time; print('ready', flush=True); time.sleep(60)"
    process = keep("--host", "localhost", "--health-file", str(health), "--", sys.executable, "-c", script)
    assert process.stdout.readline() == "ready\n"
    eventually(health.exists)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert not health.exists()


def test_once_tells_by_its_exit_code(emulator: Emulator, cli: Run, passfile: Path) -> None:
    hosts = ("--host", "localhost", "--host", "replica")
    assert cli("pgpass", "--file", str(passfile), "--once", *hosts).returncode == 0
    assert passfile.read_text().splitlines()[1].startswith(f"replica:*:*:{ROLE}:eyJ")
    emulator.fail(400)
    done = cli("pgpass", "--file", str(passfile), "--once", *hosts)
    assert done.returncode == 1
    assert events(done.stderr)[-1]["event"] == "token_failed"
    for command in (("--", "echo", "ran"), ("--once", "--", "true")):
        done = cli("pgpass", "--file", str(passfile), *hosts, *command)
        assert (done.returncode, done.stdout) == (1 + ("--once" in command), "")


def test_the_settings_of_the_programs_are_printed_and_checked(emulator: Emulator, cli: Run, passfile: Path) -> None:
    nothing = {"PGHOST": None, "PGSSLMODE": None, "PGSSLROOTCERT": None}
    arguments = ("pgpass", "--file", str(passfile), "--once")
    done = cli(*arguments, "--host", AZURE, env=nothing)
    told = next(event for event in events(done.stderr) if event["event"] == "settings")
    assert (done.returncode, told["sslmode"], told["sslrootcert"]) == (0, "verify-full", AZURE_ROOTS)
    emulator.reset_counters()
    done = cli(*arguments, "--host", AZURE, env={**nothing, "PGSSLMODE": "disable"})
    assert done.returncode == 1
    assert "sslmode=disable could send the token" in done.stderr
    done = cli(*arguments, "--host", AZURE, env={**nothing, "PGSSLROOTCERT": "/nowhere"})
    assert done.returncode == 1
    assert "sslrootcert=/nowhere cannot be read" in done.stderr
    assert cli(*arguments, env=nothing).returncode == 2
    assert emulator.token_requests == []


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        ((f"host={AZURE} sslmode=disable",), "sslmode=disable"),
        (("sslmode=prefer",), "sslmode=prefer"),
        (("-h", AZURE, "-d", "host=localhost gssencmode=require"), "gssencmode=require"),
    ],
)
def test_no_program_runs_that_would_send_the_token_unencrypted(
    emulator: Emulator, cli: Run, passfile: Path, arguments: tuple[str, ...], setting: str
) -> None:
    command = ("--", "echo", "ran", *arguments)
    done = cli("pgpass", "--file", str(passfile), "--host", AZURE, *command, env={"PGHOST": None})
    assert (done.returncode, done.stdout) == (1, "")
    assert setting in done.stderr
    assert emulator.token_requests == []


def test_a_program_may_use_other_servers_as_it_likes(emulator: Emulator, cli: Run, passfile: Path) -> None:
    own = f"postgresql://ada:secret@{AZURE}/db?sslmode=disable"
    command = ("--", sys.executable, "-c", "print('ran')", "host=localhost sslmode=disable", own)
    done = cli("pgpass", "--file", str(passfile), "--host", AZURE, *command, env={"PGHOST": None})
    assert (done.returncode, done.stdout.split()[0]) == (0, "ran")


def test_others_lines_stay() -> None:
    content = b"# a\nh:*:*:u:old\nh:5432:*:u:mine\r\nh:*:*:u2:x"
    assert merged(content, ["h:*:*:u:new"]) == b"h:*:*:u:new\n# a\nh:5432:*:u:mine\r\nh:*:*:u2:x"
    assert merged(b"", ["h:*:*:u:new"]) == b"h:*:*:u:new\n"


@pytest.mark.parametrize("letter", ["\n", "\r"])
def test_a_line_break_makes_no_second_line(letter: str, tmp_path: Path) -> None:
    file = Passfile(str(tmp_path / "pgpass"), ["localhost"])
    for user, token, name in ((f"a{letter}b", "secret", "user"), ("a", f"secret{letter}token", "token")):
        with pytest.raises(Failure, match=f"^the {name} has a line break, which the file cannot hold$"):
            file.update({user: token})
    assert not (tmp_path / "pgpass").exists()
