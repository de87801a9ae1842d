"""Clean up after a program that ends without stopping its emulator, for example because it is killed."""

from __future__ import annotations

import os
import subprocess
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# Its input ends when the program ends in any way; the last line is the process group to stop. Files that the group
# writes meanwhile are removed in the next round.
_SCRIPT = """
group=
while read -r line; do group=$line; done
if [ -n "$group" ]; then
    kill -s INT -- "-$group"
    for round in 1 2 3 4 5 6 7 8 9 10; do kill -s 0 -- "-$group" || break; sleep 1; done
    kill -s KILL -- "-$group"
fi
for round in 1 2 3 4 5; do
    rm -rf -- "$1"
    sleep 1
    [ -e "$1" ] || exit
done
"""

# Reports the process group before the command runs, because the program may be killed right after it starts the child.
_NAMED = 'echo "$$" >&0; exec "$@" </dev/null'

_running: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()


class Watchdog:
    """A process that stops what this one started and removes its files, if this one ends without doing so.

    On Windows this process starts no other, and there is no watchdog: the files of a killed process are not removed.

    `start`, `run` and `stop` have to be called in a thread that no signal interrupts: a process that is started and not
    yet known when a signal's handler raises could not be stopped.
    """

    def __init__(self, work: Path) -> None:
        """Set the directory that the process removes."""
        self._work = work
        self._process: subprocess.Popen[bytes] | None = None
        self._watched: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        if os.name != "posix":
            return
        self._process = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _SCRIPT, "sh", str(self._work)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        _running.add(self._process)

    def run(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command in its own process group, which the watchdog stops instead of the previous one."""
        self._watched = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _NAMED, "sh", *command],
            stdin=None if self._process is None else self._process.stdin,
            start_new_session=True,
            **options,
        )
        return self._watched

    def stop(self) -> None:
        """End the process; if the last command still runs, because stopping it was interrupted, let it do its work."""
        if self._process is None:
            return
        if self._watched is None or self._watched.poll() is not None:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def _let_go() -> None:
    """Close the pipe in a forked child, so that the watchdog notices the end of the parent."""
    for process in list(_running):
        if process.stdin is not None:
            process.stdin.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
