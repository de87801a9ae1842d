"""A program that a command runs: it gets the signals and the terminal, and its end is the command's.

A command that is killed, so that it can pass nothing on, leaves the program running on POSIX systems. On Windows the
program and its children end with it, because `TerminateProcess` is the only way to ask for that there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import signals
from azure_postgresql_auth.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

# A shell's exit codes.
_CANNOT_RUN, _NOT_FOUND = 126, 127
_POSIX = os.name == "posix"
_FORWARDED = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGBREAK")
    if hasattr(signal, name)
)
_TYPED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGQUIT", "SIGBREAK") if hasattr(signal, name))
"""A terminal sends these, for Ctrl-C, Ctrl-\\ and Ctrl-Break, to every process in the foreground."""


def run(command: Sequence[str], environment: Mapping[str, str], name: str, inherited: Sequence[int] = ()) -> int:
    """Run a program to its end.

    Args:
        command: the program and its arguments; looked for first beside the Python of this virtual environment.
        environment: all of its variables.
        name: the command of ours that runs it, for errors.
        inherited: descriptors that it inherits.

    Returns:
        The program's exit code; on POSIX systems minus the number of the signal that ended it.

    Raises:
        Failure: it cannot be run (126) or found (127).
    """
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        if child is None:
            early.append(number)
        elif number not in _TYPED or not _in_foreground():
            _send(child.pid, number)

    environment = _with_path(environment)
    with signals.handled(dict.fromkeys(_FORWARDED, forward)), _job():
        try:
            child = subprocess.Popen(  # noqa: S603 - the user's own command
                _found(command, environment), env=environment, pass_fds=inherited
            )
        except FileNotFoundError as error:
            raise Failure(f"{name}: {command[0]} is not installed or not on PATH", _NOT_FOUND) from error
        except OSError as error:
            raise Failure(f"{name}: {command[0]} cannot be run: {error.strerror}", _CANNOT_RUN) from error
        for number in early:
            _send(child.pid, number)
        return _wait(child)


def end_like(code: int) -> int:
    """End this process as the program ended, if a signal did that; else return its exit code.

    Whoever started this process (a shell, systemd) tells the two apart, and saw the program itself when `exec` replaced
    this process by it.
    """
    if code >= 0 or not _POSIX:
        return code
    import resource  # noqa: PLC0415 - not on Windows

    number = signal.Signals(-code)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # one dump is enough
    sys.stdout.flush()
    if number not in {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # Process 1 of a container does not get signals that it does not handle.
    return shell_code(code)


def shell_code(code: int) -> int:
    """Return the exit code that a shell has for the program's end."""
    return signals.exit_code(-code) if code < 0 and _POSIX else code


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        # It has just ended, or runs as another user now.
        return


def _in_foreground() -> bool:
    """Whether the terminal sends what is typed to this process and its child alike."""
    if not _POSIX:
        # A console does. Nobody else sends any here, and `os.kill` would end the child at once.
        return True
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _wait(child: subprocess.Popen[bytes]) -> int:
    if not _POSIX:
        # A code of Windows' own (0xC000013A after Ctrl-C) as the signed number that `sys.exit` takes.
        return (child.wait() ^ 1 << 31) - (1 << 31)
    while True:
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            # Ctrl-Z has stopped this process, too, and `fg` let both go on. A program that stops itself alone would
            # leave a shell waiting for this one.
            pid, status = os.waitpid(child.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if pid == 0 and _in_foreground():
                os.kill(os.getpid(), signal.SIGSTOP)
                _send(child.pid, signal.SIGCONT)
            if pid == 0 or os.WIFCONTINUED(status) or os.WIFSTOPPED(status):
                continue
        child.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        return child.returncode


def _job() -> contextlib.AbstractContextManager[None]:
    if sys.platform != "win32":
        return contextlib.nullcontext()
    from azure_postgresql_auth.cli import windows_job  # noqa: PLC0415 - not elsewhere

    return windows_job.children_end_with_this_process()


def _found(command: Sequence[str], environment: Mapping[str, str]) -> Sequence[str]:
    """Look for the program in the PATH of its own environment, as POSIX systems do."""
    if _POSIX:
        return command
    return [shutil.which(command[0], path=environment.get("PATH")) or command[0], *command[1:]]


def _with_path(environment: Mapping[str, str]) -> dict[str, str]:
    """Put the programs of the virtual environment first from which this command was called without activating it."""
    called = sys.argv[0] if os.path.basename(sys.argv[0]) != "__main__.py" else sys.executable  # noqa: PTH119
    folder = os.path.dirname(os.path.abspath(called))  # noqa: PTH100, PTH120 - links lead out of the environment
    if not os.path.exists(os.path.join(folder, os.pardir, "pyvenv.cfg")):  # noqa: PTH110, PTH118
        return dict(environment)
    return {**environment, "PATH": os.pathsep.join(filter(None, (folder, environment.get("PATH"))))}
