"""Whether what happened is as it should be."""

from __future__ import annotations

import collections
import json
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from tests.stress.soak.events import Failure
from tests.stress.soak.faults import CLOCK, KILLED, KILLED_CONNECTION, TIMED_OUT
from tests.stress.soak.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.stress.soak.faults import Window

MEMORY_MAY_GROW = 3.0
"""MB, from the middle third of a run to the last."""
NUMBERS_MAY_GROW = 2
"""The same of threads and descriptors, whose number varies with what is under way."""
_FEWEST = 12
"""Samples below which nothing is said about growth."""


_SERVERS = {
    "pages": "gunicorn",
    "tasks": "celery",
    "proxy": "proxy",
    "sessions of the proxy": "proxy",
    "the proxy's metrics": "proxy",
}
"""The process without which a client fails, besides its own."""


def reason(failure: Failure, windows: Iterable[Window]) -> str:
    """Return why an attempt was allowed to fail; "" if it was not."""
    for window in windows:
        if window.overlaps(failure) and _concerns(window, failure):
            return f"{window.kind}: {window.name}"
        # A token with the dates of the other clock is refused for as long as it lives, if there is no other.
        if window.kind == "clock" and failure.asked_in_vain and 0 < failure.begun - window.ended < max(CLOCK):
            return "no token instead of one that was refused"
    if any(words in failure.error for words in KILLED):
        return KILLED_CONNECTION
    return "no token" if failure.is_login and failure.ended >= failure.good_until else ""


def _concerns(window: Window, failure: Failure) -> bool:
    if window.kind == "clock":
        return failure.is_login
    if window.kind == "busy machine":
        return any(words in failure.error for words in TIMED_OUT)
    return window.kind != "stopped" or window.name in {failure.process, _SERVERS.get(failure.client)}


def sort_out(folder: Path, windows: list[Window]) -> tuple[dict[str, Any], list[str]]:
    """Return the failures that were allowed, counted by client and reason, and the others."""
    allowed: dict[str, collections.Counter[str]] = {}
    others: collections.Counter[str] = collections.Counter()
    with (folder / "failures.jsonl").open(encoding="utf-8") as file:
        for line in file:
            failure = Failure(**json.loads(line))
            why = reason(failure, windows)
            if why:
                allowed.setdefault(failure.client, collections.Counter())[why] += 1
            else:
                others[f"{failure.client}: {failure.error}"] += 1
    wrong = [f"{said} ({times} times)" for said, times in others.items()]
    return {client: dict(reasons) for client, reasons in sorted(allowed.items())}, wrong


def judge_broken(allowed: dict[str, Any], killed: int) -> list[str]:
    """Return that more connections broke than backends were killed, if they did."""
    broken = sum(reasons.get(KILLED_CONNECTION, 0) for reasons in allowed.values())
    return [f"{broken} connections broke, and {killed} backends were killed"] if broken > killed else []


def series(folder: Path) -> dict[str, list[tuple[float, Sample]]]:
    """Return the samples of each process, by its name, with their times."""
    found: dict[str, list[tuple[float, Sample]]] = {}
    with (folder / "samples.jsonl").open(encoding="utf-8") as file:
        for line in file:
            facts = json.loads(line)
            at, name = facts.pop("at"), facts.pop("process")
            found.setdefault(name, []).append((at, Sample(**facts)))
    return found


def grown(samples: list[Sample]) -> dict[str, float]:
    """Return by how much a process grew from the middle third of a run to its last."""
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[-third:]
    numbers = {
        what: median(getattr(s, what) for s in last) - median(getattr(s, what) for s in middle)
        for what in ("threads", "descriptors")
    }
    return {**numbers, "memory, MB": round(mean(s.memory for s in last) - mean(s.memory for s in middle), 2)}


def judge_growth(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return by how much each process grew, and which ones too much."""
    found: dict[str, Any] = {}
    wrong: list[str] = []
    for name, sampled in series(folder).items():
        if len(sampled) < _FEWEST:
            continue
        found[name] = grew = grown([sample for _, sample in sampled])
        wrong += [
            f"{name}: {what} grew by {grew[what]}"
            for what in grew
            if grew[what] > (MEMORY_MAY_GROW if what.startswith("memory") else NUMBERS_MAY_GROW)
        ]
    return found, wrong


def judge_settled(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what a process has more of than before, when nothing is under way in either case."""
    return [
        f"{what}: {before[what]} before, {after[what]} after: {before['opened']}, {after['opened']}"
        for what in ("threads", "descriptors")
        if after[what] > before[what]
    ]
