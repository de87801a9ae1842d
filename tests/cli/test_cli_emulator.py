"""`emulator`: for other people's tests, in any language."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import COMMAND, LOGIN
from tests.support.platforms import WINDOWS, needs_shell, needs_signals

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli import Run

SHOW = (
    "import os; from azure_postgresql_auth.psycopg3 import EntraConnection\n"
    "with EntraConnection.connect() as connection: print(connection.info.user, 'AZURE_CLIENT_SECRET' in os.environ)"
)


@pytest.mark.parametrize(
    ("identities", "shown"),
    [
        ([], "emulator-identity False"),
        (["orders", "ann@contoso.com:user"], "orders False"),
        (["vm:system-assigned"], "vm False"),
        (["emulator-identity"], "emulator-identity False"),
    ],
)
def test_a_command_runs_inside(cli: Run, command_options: list[str], identities: list[str], shown: str) -> None:
    arguments = [argument for identity in identities for argument in ("--identity", identity)]
    done = cli("emulator", *command_options, *arguments, "--", sys.executable, "-c", SHOW)
    assert (done.stdout.strip(), done.stderr, done.returncode) == (shown, "", 0)


def test_a_service_principal_has_its_secret(cli: Run, command_options: list[str]) -> None:
    show = SHOW.replace("connect()", "connect(user='app')")
    identity = ("--identity", "app:service-principal")
    done = cli("emulator", *command_options, *identity, "--", sys.executable, "-c", show)
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("app True", "", 0)


@needs_signals
def test_exit_code_of_a_killed_command(cli: Run, command_options: list[str]) -> None:
    done = cli("emulator", *command_options, "--", "sh", "-c", "kill -9 $$")
    assert done.returncode == 128 + signal.SIGKILL


def test_exit_codes(cli: Run, command_options: list[str]) -> None:
    program = (sys.executable, "-c", "raise SystemExit(9)")
    assert cli("emulator", *command_options, "--", *program).returncode == 9
    assert cli("emulator", *command_options, "--", "no-such-program").returncode == 127
    done = cli("emulator", *command_options, "--identity", "a:robot", "--", "true")
    assert done.returncode == 2
    assert "one of user-assigned" in done.stderr
    done = cli("emulator", "--dsn", "postgresql://admin@127.0.0.1:9/db", "--", "true")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="not a virtual environment")
def test_the_environments_own_programs_are_found_first(cli: Run, command_options: list[str]) -> None:
    done = cli("emulator", *command_options, "--", "pytest", "--version", env={"PATH": os.defpath})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"pytest {pytest.__version__}\n"


@needs_shell
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_exports_serve_a_shell_until_it_is_told_to_stop(ending: signal.Signals, tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    tmp_path.chmod(0o755)
    process = subprocess.Popen(
        [*COMMAND, "emulator", "--lifetime", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout as output, process.stderr as said:
        assert said.readline() == "azure-postgresql-auth: running; Ctrl-C ends it\n"
        os.set_blocking(output.fileno(), False)
        exports = output.read()
        script = f'{exports}\n{sys.executable} -m azure_postgresql_auth exec -- {sys.executable} -c "$1"'
        done = subprocess.run(["sh", "-c", script, "sh", LOGIN], capture_output=True, text=True, check=False)
        assert (done.stdout, done.returncode) == ("emulator-identity\n", 0), done.stderr
        process.send_signal(ending)
        assert process.wait(60) == 0
    assert list(tmp_path.glob("pg-entra-*")) == []


def test_the_variables_as_json(command_options: list[str]) -> None:
    process = subprocess.Popen([*COMMAND, "emulator", *command_options, "--json"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        assert json.loads(output.readline())["PGHOST"] == "localhost"
        process.terminate()
        # Windows has no signal that a process could end by in order.
        assert process.wait(60) == (1 if WINDOWS else 0)


def test_without_the_extra_it_is_named(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "anyio.py").write_text("raise ImportError('anyio is not there')")
    done = cli("emulator", env={"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'azure-postgresql-auth-rs[emulator]'" in done.stderr
