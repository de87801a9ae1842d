"""What a loaded process forks and starts: workers that use the tokens that they inherit, and programs that exit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth import errors

from tests.stress.process_load import EXIT_CODE, take, take_async
from tests.stress.soak import events
from tests.stress.soak.faults import LIFETIME

if TYPE_CHECKING:
    import threading

CHILDREN = 3
"""So many forked workers at once."""
LONGEST_CHILD = 60.0
"""Seconds until a forked worker counts as hanging."""
EXIT_EVERY = 2.0
LEAVER = Path(__file__).with_name("leaver.py")


def workers(credentials: list[object], stop: threading.Event) -> None:
    """Forks in the midst of it all; each child takes what its parent has and renews it for as long as a token lives."""
    children: dict[int, float] = {}
    while not stop.is_set() or children:
        if len(children) < CHILDREN and not stop.is_set():
            # Not logins to the server: libraries below the drivers may be in the middle of something as well.
            pid = os.fork()
            if pid == 0:
                os._exit(_worker(credentials))
            children[pid] = time.monotonic() + LONGEST_CHILD
        time.sleep(0.3)
        for child, deadline in list(children.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                del children[child]
                events.count("forked" if status == 0 else f"forked workers ended with {status}")
            elif time.monotonic() > deadline:
                os.kill(child, 9)
                os.waitpid(child, 0)
                del children[child]
                events.count("forked workers hung")


def _worker(credentials: list[object]) -> int:
    end = time.monotonic() + LIFETIME
    try:
        while time.monotonic() < end:
            for credential in credentials:
                login = events.attempt("tokens of forked workers", credential)
                try:
                    (take if random.random() < 0.5 else take_async)(credential)  # noqa: S311
                    login.succeeded()
                except errors.AzurePgEntraError as error:
                    login.failed(error)
            time.sleep(0.1)
    except BaseException as error:  # noqa: BLE001 - told below
        print(f"a forked worker: {error!r}", file=sys.stderr, flush=True)  # noqa: T201
        return 1
    return 0


def exits(_: Any, stop: threading.Event) -> None:
    """Programs that exit while their threads and tasks wait for tokens."""
    while not stop.wait(EXIT_EVERY):
        try:
            done = subprocess.run(
                [sys.executable, "-I", LEAVER, str(EXIT_CODE)],
                capture_output=True,
                text=True,
                timeout=LONGEST_CHILD,
                check=False,
            )
        except subprocess.TimeoutExpired:
            events.count("programs hung at their exit")
            continue
        if (done.returncode, done.stdout, done.stderr) == (EXIT_CODE, "", ""):
            events.count("exits")
        else:
            events.count(f"programs ended with {done.returncode}: {done.stdout}{done.stderr}"[:900])
