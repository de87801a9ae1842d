"""`pgbouncer`: whom its signal reaches."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.keeping import ROLE, PgBouncer, events, needs_pgbouncer, passwords, stopped
from tests.support.platforms import ROOT
from tests.support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run


class TestWhomTheSignalReaches:
    @pytest.fixture
    def innocent(self) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen(["sleep", "60"]) as process:
            yield process
            process.kill()

    def once(self, cli: Run, auth_file: Path, pid_file: Path) -> dict[str, Any]:
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", "--pid-file", str(pid_file))
        told = events(done.stderr)[-1]
        assert (done.returncode, told["event"]) == (1, "reload_failed"), done.stderr
        assert ROLE in passwords(auth_file), "it was written all the same"
        return told

    def test_another_program_gets_no_signal(
        self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path, innocent: subprocess.Popen[bytes]
    ) -> None:
        pid_file = tmp_path / "pid"
        pid_file.write_text(f"{innocent.pid}\n")
        told = self.once(cli, auth_file, pid_file)
        assert f"SIGHUP was not sent to process {innocent.pid}" in told["error"]
        assert "its program is 'sleep'" in told["error"]
        assert "--admin-dsn" in told["error"]
        assert innocent.poll() is None

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("0", "no process id"),
            ("-1", "no process id"),
            ("\u00b2", "no process id"),
            ("", "no process id"),
            ("1", "SIGHUP was not sent to process 1 "),
            ("9999999999", "no such process"),
        ],
    )
    def test_numbers(
        self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path, text: str, complaint: str
    ) -> None:
        pid_file = tmp_path / "pid"
        pid_file.write_text(text)
        assert complaint in self.once(cli, auth_file, pid_file)["error"]

    def test_own_process_gets_no_signal(self, emulator: Emulator, keeper: Any, auth_file: Path, tmp_path: Path) -> None:
        pid_file, health = tmp_path / "pid", tmp_path / "health"
        emulator.fail(hang=True)
        process = keeper("--pid-file", str(pid_file), "--health-file", str(health))
        pid_file.write_text(str(process.pid))
        emulator.heal()
        eventually(lambda: ROLE in passwords(auth_file))
        time.sleep(1)
        assert not health.exists()
        told = [event for event in stopped(process) if event["event"] == "reload_failed"]
        assert "it is this process itself" in told[0]["error"]

    def test_another_pgbouncer(self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path) -> None:
        program, pid_file = tmp_path / "pgbouncer", tmp_path / "pid"
        program.symlink_to(str(shutil.which("sleep")))
        with subprocess.Popen([program, "60"]) as process:
            pid_file.write_text(str(process.pid))
            os.utime(pid_file, (time.time() - 100, time.time() - 100))
            assert "started after the file was written" in self.once(cli, auth_file, pid_file)["error"]
            assert process.poll() is None
            pid_file.touch()
            if ROOT:
                shutil.chown(pid_file, "nobody")
                assert "another user" in self.once(cli, auth_file, pid_file)["error"]
                assert process.poll() is None
                shutil.chown(pid_file, "root")
            done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", "--pid-file", str(pid_file))
            assert done.returncode == 0, done.stderr
            assert process.wait(60) == -signal.SIGHUP

    @needs_pgbouncer
    def test_a_stale_file(self, emulator: Emulator, pgbouncer: PgBouncer, cli: Run, auth_file: Path) -> None:
        pgbouncer.process.kill()
        pgbouncer.process.wait(60)
        assert "no such process" in self.once(cli, auth_file, pgbouncer.pid_file)["error"]

    def test_missing_pid_file_is_reported(self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path) -> None:
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", "--pid-file", str(tmp_path / "nothing"))
        told = next(event for event in events(done.stderr) if event["event"] == "not_running")
        assert done.returncode == 0
        assert told["level"] == "warning"
        assert f"the PID file {tmp_path / 'nothing'} does not exist" in told["message"]
