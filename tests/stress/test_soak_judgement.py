"""What a soak excuses, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.stress.soak.events import Failure
from tests.stress.soak.faults import Window
from tests.stress.soak.judgement import judge_broken, reason
from tests.stress.soak.samples import children

REFUSED = "OperationalError: FATAL:  An error occurred while validating the access token."
BROKEN = "OperationalError: SSL SYSCALL error: EOF detected"
TIMED_OUT = "ConnectionTimeout: connection timeout expired"
CLOCK = Window("clock", "+0 s", 100.0, 105.0)
HANG_UP = Window("server", "hang-up", 100.0, 101.0)
STOPPED = Window("stopped", "gunicorn", 100.0, 106.0)
BUSY = Window("busy machine", "a login without the library was slow", 100.0, 110.0)


def failure(
    error: str, begun: float, *, client: str = "django", is_login: bool = False, asked_in_vain: bool = False
) -> Failure:
    """Return the failure of a process whose token is good for a minute more."""
    process = "gunicorn" if client == "django" else "clients"
    return Failure(client, process, begun, begun + 1, error, is_login, begun + 60, asked_in_vain)


@pytest.mark.parametrize(
    ("failed", "window", "why"),
    [
        (failure(REFUSED, 104, is_login=True), CLOCK, "clock: +0 s"),
        (failure(REFUSED, 110, is_login=True), CLOCK, ""),
        (failure(REFUSED, 110, is_login=True, asked_in_vain=True), CLOCK, "no token instead of one that was refused"),
        (failure(REFUSED, 300, is_login=True, asked_in_vain=True), CLOCK, ""),
        (failure(REFUSED, 50, is_login=True, asked_in_vain=True), CLOCK, ""),
        (failure(TIMED_OUT, 105), BUSY, "busy machine: a login without the library was slow"),
        (failure(TIMED_OUT, 120), BUSY, ""),
        (failure(REFUSED, 105, is_login=True), BUSY, ""),
        (failure(TIMED_OUT, 105), STOPPED, "stopped: gunicorn"),
        (failure(TIMED_OUT, 105, client="pages"), STOPPED, "stopped: gunicorn"),
        (failure(TIMED_OUT, 105, client="proxy"), STOPPED, ""),
        (failure(BROKEN, 100.5), HANG_UP, "server: hang-up"),
        (failure(BROKEN, 102), HANG_UP, "killed connection"),
    ],
)
def test_reason(failed: Failure, window: Window, why: str) -> None:
    assert reason(failed, [window]) == why


@pytest.mark.parametrize(("killed", "complaints"), [(3, 0), (2, 1)])
def test_no_more_connections_break_than_backends_are_killed(killed: int, complaints: int) -> None:
    allowed = {"psycopg2": {"killed connection": 1, "no token": 7}, "asyncpg": {"killed connection": 2}}
    assert len(judge_broken(allowed, killed)) == complaints


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux' /proc lists a thread's children")
def test_children_of_other_threads_are_found() -> None:
    """Celery replaces its workers in a thread of its own."""
    started: list[subprocess.Popen[bytes]] = []
    end = threading.Event()

    def fork() -> None:
        started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        forked.set()
        end.wait()

    forked = threading.Event()
    thread = threading.Thread(target=fork)
    thread.start()
    try:
        assert forked.wait(60)
        assert started[0].pid in children(os.getpid())
    finally:
        end.set()
        thread.join()
        started[0].communicate(b"\n")
