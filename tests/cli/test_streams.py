"""The standard streams of commands: terminals, and streams that are closed or cannot be written."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import COMMAND
from tests.support.platforms import needs_shell, needs_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run


@needs_terminal
def test_marks_only_on_a_terminal() -> None:
    def said(**env: str) -> str:
        master, terminal = os.openpty()
        variables = {**os.environ, "TERM": "xterm", **env}
        subprocess.run(
            [*COMMAND, "inspect", "-"], stdin=subprocess.DEVNULL, stderr=terminal, env=variables, check=False
        )
        os.close(terminal)
        text = os.read(master, 4096).decode()
        os.close(master)
        return text

    assert said().startswith("azure-postgresql-auth: \033[31mInvalid JWT")
    assert said(NO_COLOR="1").startswith("azure-postgresql-auth: Invalid JWT")


@needs_terminal
def test_on_a_terminal_it_says_what_it_waits_for(emulator: Emulator) -> None:
    emulator.latency = 2.5
    master, terminal = os.openpty()
    done = subprocess.run([*COMMAND, "token"], stdout=subprocess.PIPE, stderr=terminal, check=True, text=True)
    os.close(terminal)
    assert "waiting for a token ..." in os.read(master, 4096).decode()
    os.close(master)
    assert done.stdout.count("\n") == 1


def test_a_services_words_do_nothing_to_a_terminal(cli: Run, emulator: Emulator) -> None:
    evil = "no\x1b]52;c;ZWNobw==\x07way\u202e"
    emulator.fail(400, body=json.dumps({"error": "invalid_request", "error_description": evil}))
    for arguments in (["token"], ["token", "--debug"], ["doctor"]):
        done = cli(*arguments)
        printed = done.stdout + done.stderr
        assert "no\\x1b]52;c;ZWNobw==\\x07way\\u202e" in printed
        assert all(one.isprintable() or one == "\n" for one in printed)


@needs_shell
class TestClosedStreams:
    """Descriptors 0, 1 and 2 of a command whose standard streams are closed belong to nothing that it opens."""

    def run(self, *arguments: str, redirection: str) -> subprocess.CompletedProcess[str]:
        script = f'"$@" {redirection}'
        return subprocess.run(
            ["bash", "-c", script, "bash", *COMMAND, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def test_stderr(self, emulator: Emulator) -> None:
        done = self.run("token", redirection="2>&-")
        assert done.returncode == 0
        assert done.stdout.count(".") == 2

    @pytest.mark.parametrize("command", [("token",), ("doctor",), ("--version",)])
    @pytest.mark.parametrize(
        ("redirection", "why"), [(">&-", "Bad file descriptor"), ("> /dev/full", "No space left on device")]
    )
    def test_stdout(self, emulator: Emulator, command: tuple[str, ...], redirection: str, why: str) -> None:
        done = self.run(*command, redirection=redirection)
        assert done.returncode == 1
        assert done.stderr == f"azure-postgresql-auth: stdout cannot be written: {why}\n"

    def test_stdin(self) -> None:
        done = self.run("inspect", "-", redirection="<&-")
        assert done.returncode == 1
        assert done.stderr.startswith("azure-postgresql-auth: Invalid JWT token format")

    def test_the_password_file_stays_while_the_program_runs(self, emulator: Emulator, tmp_path: Path) -> None:
        seen = tmp_path / "seen"
        # With stdin and stdout closed, the pipe to what removes the file had their numbers.
        program = f'echo line; sleep 1; cat "$PGPASSFILE" > {seen}'
        done = self.run("exec", "--", "sh", "-c", program, redirection="<&- >&-")
        assert done.returncode == 0, done.stderr
        assert seen.read_text().startswith("*:*:*:*:")

    def test_the_proxys_log_goes_into_no_connection(self, emulator: Emulator) -> None:
        program = 'psql -Atc "SELECT count(*) FROM generate_series(1, 5)" "user=emulator-identity dbname=postgres"'
        server = ("--debug", "proxy", f"localhost:{emulator.port}", "--sslrootcert", emulator.ca_file)
        done = self.run(*server, "--", "sh", "-c", program, redirection="<&- 2>&-")
        assert (done.returncode, done.stdout) == (0, "5\n")

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [(["exec", "--", "no-such-program"], 127), (["token", "--foo"], 2), (["inspect", "x"], 1)],
    )
    def test_the_exit_code_is_that_of_the_failure(self, emulator: Emulator, arguments: list[str], code: int) -> None:
        assert self.run(*arguments, redirection="2> /dev/full").returncode == code
