"""Memory, threads and descriptors of processes, from Linux' /proc."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.stress.soak.background import Background

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Sample(NamedTuple):
    """What a process has at one time."""

    threads: int
    descriptors: int
    memory: float
    """In MB: what is resident and not a file's."""


def sample(pid: int | str = "self") -> Sample:
    """Take one.

    Raises:
        OSError: there is no such process any more.
    """
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines())
    if "RssAnon" not in status:
        message = f"{pid} has ended"
        raise ProcessLookupError(message)
    memory = int(status["RssAnon"].split()[0]) / 1024
    return Sample(int(status["Threads"]), len(os.listdir(f"/proc/{pid}/fd")), memory)  # noqa: PTH208


class Settled(NamedTuple):
    """What a process has when nothing is under way."""

    threads: int
    descriptors: int
    opened: list[str]
    """What the descriptors are of."""


def settled(threads: int = 0, descriptors: int = 0) -> Settled:
    """Return what this process has as soon as it has no more than this, or what it has after 5 seconds."""
    end = time.monotonic() + 5
    while True:
        # asyncpg leaves the sockets of connections that the server refused to the garbage collector.
        gc.collect()
        opened = list(_opened())
        found = Settled(sample().threads, len(opened), opened)
        if (found.threads <= threads and found.descriptors <= descriptors) or time.monotonic() > end:
            return found
        time.sleep(0.05)


def _opened() -> Iterator[str]:
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(FileNotFoundError):  # that of this listing
            yield str(Path(f"/proc/self/fd/{descriptor}").readlink())


def children(pid: int) -> list[int]:
    """Return the children of a process, whichever of its threads has forked them."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            found += map(int, listed.read_text("utf-8").split())
    return sorted(found)


class Sampler(Background):
    """Samples processes and counts, and keeps all samples in files: a JSON object on each line."""

    def __init__(self, folder: Path, every: float, counts: Mapping[str, int]) -> None:
        super().__init__()
        self._folder = folder
        self._every = every
        self._counts = counts
        self._processes: dict[str, int] = {}
        self._families: dict[str, int] = {}

    def follow(self, name: str, pid: int, *, family: bool = False) -> None:
        """Sample a process from now on; its children as well if they stay."""
        self._processes[name] = pid
        if family:
            self._families[name] = pid

    def run(self) -> None:
        """Write a sample of each process, and the counts, again and again."""
        begun = time.monotonic()
        with (
            (self._folder / "samples.jsonl").open("w", encoding="utf-8") as file,
            (self._folder / "counts.jsonl").open("w", encoding="utf-8") as counts,
        ):
            while not self._end.wait(self._every):
                at = round(time.monotonic() - begun, 1)
                for name, pid in self._all():
                    with contextlib.suppress(OSError):
                        found = sample(pid)
                        file.write(json.dumps({"at": at, "process": name, **found._asdict()}) + "\n")
                file.flush()
                counts.write(json.dumps({"at": at, **self._counts}) + "\n")
                counts.flush()

    def _all(self) -> Iterator[tuple[str, int]]:
        for name, pid in list(self._processes.items()):
            yield name, pid
            if name in self._families:
                yield from ((f"{name}, child {number}", child) for number, child in enumerate(children(pid), 1))
