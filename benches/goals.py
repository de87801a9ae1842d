"""The benchmark's goals, and whether they are met."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turns import Figures

    Results = dict[str, Figures]
    """Figures by subject."""

SIZES = (1, 2, 7)
"""Sizes of the tokens that are decoded, in kilobytes."""


@dataclass(frozen=True)
class Goal:
    """A goal, one line of the verdict."""

    what: str
    judged: str
    """The measured value that is compared."""
    measured: float
    bound: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def __str__(self) -> str:
        """Return the goal as text."""
        relation = "at least" if self.at_least else "at most"
        verdict = "met   " if self.met else "MISSED"
        return f"{verdict}  {self.what}: {self.measured:g}, {relation} {self.bound:g} ({self.judged})"

    def recorded(self) -> dict[str, Any]:
        """Return the goal for the results file."""
        return {**asdict(self), "met": self.met}


def goals(results: Results) -> list[Goal]:
    """Return every goal, evaluated with the measured figures."""
    return [
        *(_cold_start(results, kind) for kind in ("managed identity", "default credential", "Azure CLI")),
        Goal("import above psycopg's own, ms", "median", _median(results, "imports", "wall, ms"), 6),
        *_memory(results),
        Goal("added distributions", "counted", _median(results, "installed", "distributions"), 1),
        Goal("their installed size, MB", "counted", _median(results, "installed", "installed size, MB"), 5),
        Goal(
            "cached get_entra_conninfo, us", "minimum", results["cached"]["get_entra_conninfo, us"]["ours"]["min"], 0.5
        ),
        Goal("cached native call, us", "minimum", results["cached"]["native call, us"]["ours"]["min"], 0.15),
        *_connections(results),
        *_requests(results),
        *_gaps(results),
        *(_ratio(results, f"decode_jwt, {size} KB, us", f"decode_jwt, {size} KB", 2) for size in SIZES),
        *(_ratio(results, f"user alone, {size} KB, us", f"claims alone, {size} KB", 5) for size in SIZES),
    ]


def _median(results: Results, subject: str, measure: str) -> float:
    return results[subject][measure]["ours"]["median"]


def _cold_start(results: Results, kind: str) -> Goal:
    measured = results["startup"][f"{kind}: above static and endpoint, ms"]["ours"]["median"]
    what = f"cold start above a static login and the endpoint, {kind}, ms"
    return Goal(what, "median of the rounds' differences", measured, 15)


def _memory(results: Results) -> list[Goal]:
    judged = "median of the rounds' differences"
    imported = results["imports"]["memory above static, MB"]["ours"]["median"]
    connected = results["startup"]["managed identity: memory above static, MB"]["ours"]["median"]
    return [
        Goal("memory above plain psycopg, imported, MB", judged, imported, 6),
        Goal("memory above plain psycopg, after the first row, MB", judged, connected, 6),
    ]


def _connections(results: Results) -> list[Goal]:
    what, judged = "CPU of a connection above a static token, ", "median of the rounds' medians of differences"
    return [
        Goal(what + measure, judged, figures["ours"]["median"], 40)
        for measure, figures in results["connection"].items()
        if ":" not in measure
    ]


def _requests(results: Results) -> list[Goal]:
    found = results["concurrency"].items()
    return [
        Goal(
            f"requests of up to 1,000 first connections at once, {kind}",
            "maximum",
            max(figures["ours"]["max"] for measure, figures in found if measure.endswith(f" {kind}: requests")),
            1,
        )
        for kind in ("threads", "tasks")
    ]


def _gaps(results: Results) -> list[Goal]:
    return [
        Goal(f"gap of the event loop above its idle own, {measure.partition(':')[0]}, ms", "median", value, 15)
        for measure, value in (
            (measure, figures["ours"]["median"])
            for measure, figures in results["gap"].items()
            if "above idle" in measure and "ours" in figures
        )
    ]


def _ratio(results: Results, measure: str, what: str, bound: float) -> Goal:
    pure = results["tokens"][f"decode_jwt, {measure.split(', ')[1]}, us"]["peer"]["min"]
    times = round(pure / results["tokens"][measure]["ours"]["min"], 1)
    return Goal(f"{what}, times as fast as pure Python's decode_jwt", "minima", times, bound, at_least=True)
