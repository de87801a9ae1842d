"""Signals at every stage of a command: its exit code, its child and its files."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable

import pytest
from azure_postgresql_auth.cli import main, passfile, signals, temporary
from azure_postgresql_auth.cli.proxy import listeners
from azure_postgresql_auth.cli.proxy.server_arguments import Server

from tests.support.cli import COMMAND
from tests.support.interruption import Interruptions
from tests.support.platforms import needs_signals
from tests.support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from azure_postgresql_auth.emulator import Emulator

pytestmark = needs_signals

ENDING = [signal.Signals[name] for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
READY = "import signal, sys, time; print('ready', flush=True); "


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the command's temporary files are; pytest's own folders are closed to PostgreSQL's account."""
    with tempfile.TemporaryDirectory(prefix="signals-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command away from the terminal that the tests run in; stop what still runs."""
    started = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def is_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


class TestWhileATokenIsWaitedFor:
    @pytest.mark.parametrize("number", ENDING)
    @pytest.mark.parametrize(
        "arguments", [("token",), ("inspect",), ("exec", "--", "echo", "ran"), ("doctor",)], ids=lambda words: words[0]
    )
    def test_the_command_ends(self, emulator: Emulator, start: Any, arguments: Any, number: int, folder: Path) -> None:
        emulator.fail(hang=True)
        process = start(*arguments)
        eventually(lambda: emulator.token_requests)
        process.send_signal(number)
        code, stdout, stderr = ended(process)
        assert code == 128 + number
        assert "ran" not in stdout
        assert "Traceback" not in stderr
        assert list(folder.iterdir()) == []

    def test_ignored_signal_stays_ignored(self, emulator: Emulator) -> None:
        emulator.fail(hang=True)
        process = subprocess.Popen(["nohup", *COMMAND, "token"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        eventually(lambda: emulator.token_requests)
        process.send_signal(signal.SIGHUP)
        emulator.heal()
        assert process.communicate(timeout=60)[0].startswith(b"eyJ")
        assert process.returncode == 0


class TestWhileAProgramRuns:
    @pytest.mark.parametrize("number", ENDING)
    def test_exec_ends_as_the_program_does(self, emulator: Emulator, start: Any, number: int, folder: Path) -> None:
        script = (
            f"{READY} signal.signal(signal.SIGINT, signal.SIG_DFL); "
            "print('file', *__import__('os').environ['PGPASSFILE'].split(), flush=True); time.sleep(60)"
        )
        process = start("exec", "--", sys.executable, "-c", script)
        is_ready(process)
        path = Path(process.stdout.readline().split()[1])
        assert path.is_relative_to(folder)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        process.send_signal(number)
        assert ended(process) == (-number, "", "")
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("command", ["exec", "emulator"])
    def test_the_program_decides_what_a_signal_means(self, emulator: Emulator, start: Any, command: str) -> None:
        script = (
            "import signal, sys, time\n"
            "for number in signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGQUIT:\n"
            "    signal.signal(number, lambda number, _: print(number, flush=True))\n"
            "signal.signal(signal.SIGUSR2, lambda *_: sys.exit(5))\n"
            "print('ready', flush=True)\n"
            # Not `signal.pause`, which would sleep through a signal that comes just before it.
            "while True: time.sleep(0.05)"
        )
        process = start(command, "--", sys.executable, "-c", script)
        is_ready(process)
        for number in (*ENDING, signal.SIGUSR1, signal.SIGQUIT):
            process.send_signal(number)
            assert int(process.stdout.readline()) == number
        process.send_signal(signal.SIGUSR2)
        assert ended(process) == (5, "", "")

    def test_the_file_of_a_killed_command_goes_with_the_program(
        self, emulator: Emulator, start: Any, folder: Path
    ) -> None:
        script = f"import os; {READY} print(os.getpid(), flush=True); time.sleep(600)"
        process = start("exec", "--", sys.executable, "-c", script)
        is_ready(process)
        program = int(process.stdout.readline())
        process.kill()
        process.wait(60)
        time.sleep(0.5)
        assert [path.name for path in folder.glob("*/*")] == ["pgpass"]
        os.kill(program, signal.SIGTERM)
        eventually(lambda: list(folder.iterdir()) == [])


class TestTheEmulator:
    @pytest.mark.parametrize("number", ENDING)
    @pytest.mark.parametrize("stage", ["pg-entra-*", "pg-entra-*/pg/data/postmaster.pid"])
    def test_signal_ends_its_start(self, start: Any, folder: Path, number: int, stage: str) -> None:
        process = start("emulator", "--", "echo", "ran")
        eventually(lambda: list(folder.glob(stage)))
        process.send_signal(number)
        assert ended(process) == (128 + number, "", "")
        eventually(lambda: list(folder.iterdir()) == [])

    def test_repeated_signals_do_not_cut_its_shutdown_short(self, start: Any, folder: Path) -> None:
        process = start("emulator")
        assert "running" in process.stderr.readline()
        for _ in range(20):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.005)
        code, _, stderr = ended(process)
        assert (code, stderr) == (0, "")
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("number", ENDING)
    def test_a_program_that_is_ended_by_a_signal(self, start: Any, folder: Path, number: int) -> None:
        process = start("emulator", "--", sys.executable, "-c", f"{READY} time.sleep(600)")
        is_ready(process)
        process.send_signal(number)
        code, _, _ = ended(process)
        assert code == 128 + number
        assert list(folder.iterdir()) == []


class TestATerminal:
    """Job control, as a person uses it: an interactive shell in a terminal of its own."""

    @pytest.fixture
    def shell(self) -> Iterator[tuple[int, Callable[[str], str]]]:
        import pty

        pid, terminal = pty.fork()
        if pid == 0:
            variables = {**os.environ, "PS1": "", "TERM": "dumb"}
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], variables)  # noqa: S606
        seen = ""

        def until(text: str) -> str:
            nonlocal seen
            deadline = time.monotonic() + 60
            while text not in seen:
                assert time.monotonic() < deadline, seen
                if select.select([terminal], [], [], 0.1)[0]:
                    seen += os.read(terminal, 65536).decode()
            before, _, seen = seen.partition(text)
            return before

        yield terminal, until
        os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(pid, 0)

    def test_stop_go_on_and_interrupt_once(self, emulator: Emulator, shell: Any, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        # It waits in steps: a signal between `input` and the read within it would be noticed with the next line only.
        program.write_text(
            "import os, select, signal, time\n"
            "signal.signal(signal.SIGINT, lambda *_: print('inter' 'rupted', flush=True))\n"
            "signal.signal(signal.SIGCONT, lambda *_: print('contin' 'ued', flush=True))\n"
            "print('rea' 'dy', os.getpid(), flush=True)\n"
            "while not select.select([0], [], [], 0.1)[0]: pass\n"
            "answer = input()\n"
            "time.sleep(0.5)\n"
            "print('answer', answer, flush=True)\n"
            "raise SystemExit(7)\n"
        )
        terminal, until = shell
        command = shlex.join([*COMMAND, "exec", "--", sys.executable, str(program)])
        os.write(terminal, f"{command}\n".encode())
        until("ready")
        status = Path(f"/proc/{int(until(chr(10)))}/stat")
        os.write(terminal, b"\x1a")
        until("Stopped")
        # The shell speaks as soon as the command has stopped, and a program that has not yet reads what is typed.
        eventually(lambda: status.read_text("ascii").rpartition(")")[2].split()[0] == "T")
        os.write(terminal, b"fg\n")
        until("continued")
        os.write(terminal, b"\x03")
        until("interrupted")
        os.write(terminal, b"42\n")
        said = until("answer 42")
        assert "interrupted" not in said, "Ctrl-C came twice"
        os.write(terminal, b"echo code=$?\n")
        until("code=7")

    def test_a_program_that_stops_itself(self, emulator: Emulator, shell: Any) -> None:
        terminal, until = shell
        script = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); print('wo' 'ke', flush=True)"
        command = shlex.join([*COMMAND, "exec", "--", sys.executable, "-c", script])
        os.write(terminal, f"{command}\n".encode())
        until("Stopped")
        os.write(terminal, b"fg\n")
        until("woke")
        os.write(terminal, b"echo code=$?\n")
        until("code=0")


# A watchdog whose start is interrupted ends by itself, and so does an interrupted proxy with its sockets.
@pytest.mark.filterwarnings("ignore:subprocess", "ignore:unclosed")
@pytest.mark.parametrize("kind", ["folder", "password file", "socket"])
def test_files_go_wherever_a_signal_comes(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    login: Any = SimpleNamespace(password="secret", expires_on=time.time() + 3600)

    def use(interruptions: Interruptions) -> None:
        if kind == "folder":
            with interruptions, temporary.folder() as path:
                assert Path(path).stat().st_mode & 0o777 == 0o700
        elif kind == "password file":
            with interruptions, passfile.kept(login, lambda: login) as (file, _):
                assert Path(file).read_text().endswith(":secret\n")
        else:
            sockets = listeners.Sockets()
            with interruptions:
                sockets.listen_in(folder, Server("name", "host", 5432, "scope", "roots"))
                assert (folder / listeners.SOCKET_NAME).is_socket()
            sockets.remove_files()

    interruptions, places = Interruptions(temporary.__file__, passfile.__file__, listeners.__file__), 0
    use(interruptions)
    while interruptions.place is not None:
        assert list(folder.iterdir()) == [], interruptions.place
        places += 1
        use(interruptions)
    assert list(folder.iterdir()) == []
    assert places > 3


def test_an_interrupt_during_start_up(tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run([*COMMAND, "inspect"], capture_output=True, text=True, env=env, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, "")


def test_an_interrupt_while_arguments_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("azure_postgresql_auth.cli.parser.parse", interrupted)
    assert main(["inspect"]) == 130


@contextlib.contextmanager
def signalled_where_a_lock_is_neither_held_nor_free() -> Iterator[None]:
    """Send SIGTERM where `threading.Event.wait` has released its lock, and is about to note that."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if event == "call":
            return trace if frame.f_code.co_name == "_release_save" else None
        if event == "return":
            sys.settrace(None)
            os.kill(os.getpid(), signal.SIGTERM)
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)


def test_an_error_that_a_signal_led_to_does_not_hide_it() -> None:
    place = signalled_where_a_lock_is_neither_held_nor_free()
    with pytest.raises(signals.Stopped) as stopped, signals.raised(to_the_end=False), place:
        threading.Event().wait(60)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert isinstance(stopped.value.__cause__, RuntimeError)


def test_an_error_of_another_origin_stays() -> None:
    with pytest.raises(KeyError, match="another"), signals.raised(to_the_end=False):
        raise KeyError("another")
