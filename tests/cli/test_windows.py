"""What only Windows has: jobs, which end a killed command's children, programs by suffix, access control lists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cli import COMMAND
from tests.support.platforms import LIMIT, WINDOWS
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.tools import HANGING, install, saying
from tests.support.windows_access import EVERYBODY, set_access

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run

pytestmark = pytest.mark.skipif(not WINDOWS, reason="for Windows")

CONTROL_C_EXIT = 0xC000013A
"""What Windows says of a program that Ctrl-C ended; more than a signed number holds."""


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a folder first in PATH."""
    monkeypatch.setenv("PATH", os.pathsep.join((str(tmp_path), os.environ["PATH"])))
    return tmp_path


@pytest.mark.parametrize("command", ["exec", "emulator"])
def test_a_killed_command_takes_its_program_along(
    emulator: Emulator, command_options: list[str], on_path: Path, command: str
) -> None:
    """And what that has started: nobody can tell them to end."""
    options = command_options if command == "emulator" else []
    with Server(lambda process: process.recv(1)) as server:
        install(on_path, "program", HANGING.format(port=server.port))
        process = subprocess.Popen([*COMMAND, command, *options, "--", "program"])
        eventually(lambda: len(server.clients) == 2 or process.poll() is not None, LIMIT)
        process.kill()
        process.wait()
        assert len(server.clients) == 2
        assert server.finish()


def test_what_a_program_leaves_running_goes_on(emulator: Emulator, on_path: Path) -> None:
    ended, answers = threading.Event(), []

    def ask(process: socket.socket) -> None:
        ended.wait(60)
        process.sendall(b"?")
        answers.append(process.recv(1))

    with Server(ask) as server:
        child = f"import socket; s = socket.create_connection(('127.0.0.1', {server.port})); s.sendall(s.recv(1))"
        install(on_path, "program", f"subprocess.Popen([sys.executable, '-IS', '-c', {child!r}])")
        subprocess.run([*COMMAND, "exec", "--", "program"], check=True, timeout=LIMIT)
        eventually(lambda: server.clients, LIMIT)
        ended.set()
        assert server.finish()
    assert answers == [b"?"]


def test_programs_are_found_by_their_suffix_in_the_path_of_their_environment(
    cli: Run, emulator: Emulator, on_path: Path
) -> None:
    install(on_path, "tool", saying("ran", code=7))
    done = cli("exec", "--", "tool")
    assert (done.returncode, done.stdout, done.stderr) == (7, "ran", "")


def test_an_exit_code_of_windows_own_stays(cli: Run, emulator: Emulator, command_options: list[str]) -> None:
    script = f"import ctypes; ctypes.windll.kernel32.ExitProcess({CONTROL_C_EXIT})"
    for command in (("exec",), ("emulator", *command_options)):
        assert cli(*command, "--", sys.executable, "-c", script).returncode == CONTROL_C_EXIT


def test_commands_that_need_what_windows_has_not_say_so(cli: Run, emulator: Emulator, tmp_path: Path) -> None:
    server = (f"localhost:{emulator.port}", "--sslrootcert", emulator.ca_file)
    for arguments, words in (
        (("pgbouncer", "--auth-file", str(tmp_path / "list")), "Windows has no signal that tells PgBouncer"),
        (("proxy", *server), "use --listen [HOST:]PORT, without --socket"),
        (("proxy", *server, "--listen", "0", "--socket", str(tmp_path)), "use --listen [HOST:]PORT, without --socket"),
        (("emulator", "--", "cmd"), "on Windows the emulator runs no PostgreSQL of its own"),
    ):
        done = cli(*arguments)
        assert done.returncode in {1, 2}
        assert words in done.stderr
        assert "Traceback" not in done.stderr


class TestAccess:
    """Files with tokens are for this user, the system and its administrators."""

    def test_no_password_goes_where_others_can_read(self, cli: Run, emulator: Emulator, tmp_path: Path) -> None:
        set_access(tmp_path, EVERYBODY)
        done = cli("pgpass", "--file", str(tmp_path / "pgpass"), "--once", "--host", "localhost")
        told = json.loads(done.stderr.splitlines()[-1]) if done.stderr.startswith("{") else {"error": done.stderr}
        assert done.returncode != 0
        assert "is open to Everyone; choose a folder in your profile" in str(told)
        assert list(tmp_path.iterdir()) == []
        assert emulator.token_requests == []

    @pytest.mark.parametrize("what", ["folder", "file"])
    def test_the_shared_cache_uses_nothing_that_others_can_change(
        self, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        folder = tmp_path / "tokens"
        monkeypatch.setenv("AZURE_POSTGRESQL_AUTH_CACHE_DIR", str(folder))
        assert log_in() == ""
        (entry,) = (path for path in folder.iterdir() if not path.suffix and path.name != "key")
        set_access(folder if what == "folder" else entry, EVERYBODY)
        assert "is open to Everyone; choose a folder in your profile" in log_in()
        assert len(emulator.token_requests) == 2


def log_in() -> str:
    """Obtain a token in a process of its own, and return what it logs."""
    script = (
        "import logging, sys\n"
        "logging.basicConfig(stream=sys.stdout, format='%(message)s')\n"
        "from azure_postgresql_auth import core, identity\n"
        "core.get_entra_token(identity.ManagedIdentityCredential())\n"
    )
    done: Any = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)
