"""What every process reports: one line for each attempt, through a named pipe.

Lines are shorter than PIPE_BUF, so those of several processes do not mix, and reporters need no lock, which a fork
could leave locked. A pipe has no file size either, which one of the faults limits.
"""

from __future__ import annotations

import collections
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from azure_postgresql_auth import core, errors
from azure_postgresql_auth._engine.refusal import is_refusal

from tests.stress.soak.faults import LEEWAY, LIFETIME

if TYPE_CHECKING:
    from pathlib import Path

PIPE = "SOAK_EVENTS"
"""The variable with the pipe's path."""
PROCESS = "SOAK_PROCESS"
"""The variable with the name of the process that was started."""
_LONGEST = 900


class Failure(NamedTuple):
    """An attempt that failed. Times are those of the monotonic clock, which all processes share."""

    client: str
    process: str
    begun: float
    ended: float
    error: str
    is_login: bool
    """Whether there was no token, or the server refused it."""
    good_until: float
    """When the token that was there at the beginning ceases to be sent."""
    asked_in_vain: bool
    """Whether the server refused the token, and a request for another one failed."""


class Attempt(NamedTuple):
    """A login, or a query on a connection that has one."""

    client: str
    begun: float
    good_until: float
    credential: Any = None
    failures: int = 0
    """Requests for its tokens that had failed before."""

    def succeeded(self) -> None:
        _report({"client": self.client})

    def failed(self, error: BaseException, *, is_login: bool | None = None) -> None:
        if is_login is None:
            is_login = isinstance(error, errors.AzurePgEntraError) or is_refusal(error)
        said = f"{type(error).__name__}: {error}"[:_LONGEST]
        process = os.environ[PROCESS]
        failed_now = self.credential is not None and core.token_stats(self.credential).failures > self.failures
        in_vain = failed_now and is_refusal(error)
        failure = Failure(self.client, process, self.begun, time.monotonic(), said, is_login, self.good_until, in_vain)
        _report(failure._asdict())


def attempt(client: str, credential: Any = None, expires_on: float = 0.0) -> Attempt:
    """Begin one, with what is known about its token."""
    failures = 0
    if credential is not None:
        stats = core.token_stats(credential)
        expires_on, failures = max(stats.expires_on.values(), default=0.0), stats.failures
    now = time.monotonic()
    good_until = now + expires_on - time.time() - LEEWAY * (LIFETIME + 1)
    return Attempt(client, now, good_until, credential, failures)


def count(client: str, number: int = 1) -> None:
    """Report something that is only counted."""
    if number:
        _report({"client": client, "number": number})


def _report(facts: dict[str, Any]) -> None:
    os.write(_PIPE, json.dumps(facts).encode() + b"\n")


# Opened at once, and not by whichever threads are the first to report.
_PIPE: Final = os.open(os.environ[PIPE], os.O_WRONLY) if PIPE in os.environ else -1


class Events:
    """Reads the reports of all processes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events"
        self.counts: collections.Counter[str] = collections.Counter()
        """Attempts that succeeded, and other things that happened, by client."""
        os.mkfifo(self.path)
        # Open for writing as well: then its end is not reached while no client has it open.
        self._file = open(os.open(self.path, os.O_RDWR), encoding="utf-8")  # noqa: PTH123, SIM115 - a descriptor
        self._log = (folder / "failures.jsonl").open("w", encoding="utf-8")
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for line in self._file:
            facts = json.loads(line)
            if not facts:
                return
            if "error" in facts:
                self._log.write(line)
                self._log.flush()
            else:
                self.counts[facts["client"]] += facts.get("number", 1)

    def close(self) -> None:
        with self.path.open("w", encoding="utf-8") as pipe:
            pipe.write("{}\n")
        self._thread.join()
        self._file.close()
        self._log.close()
