"""Run probes of the candidates in turns (A, B, C, A, B, C, ...), each in its own process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from environments import Candidate
    from service import Service

    Figures = dict[str, dict[str, dict[str, float]]]
    """Median and minimum, by measure and candidate."""

PROBES = Path(__file__).parent / "probes"
SETTINGS_OF_OTHERS = ("AZURE_", "IDENTITY_", "MSI_", "IMDS_", "PG", "PYTHON", "BENCH_")


class Turns:
    """The candidates that take turns, and their environment."""

    def __init__(self, candidates: list[Candidate], service: Service) -> None:
        """Set the candidates, and the emulator that they log in to."""
        self.candidates = candidates
        self.service = service
        self.identity = service.identity
        self.token: str = service.call("token", self.identity)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS_OF_OTHERS)}
        user = {"BENCH_USER": self.identity.name, "BENCH_TOKEN": self.token}
        self.variables = {**clean, **service.env, **user}

    def among(self, *names: str) -> list[Candidate]:
        """Return turns of some of the candidates."""
        return [candidate for candidate in self.candidates if candidate.name in names]

    def start(
        self, candidate: Candidate, probe: str, *arguments: str, variables: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a probe whose figures `finish` reads."""
        command = [str(candidate.python), str(PROBES / f"{probe}.py"), candidate.name, *arguments]
        pipe = subprocess.PIPE
        environment = self.variables if variables is None else variables
        return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    @staticmethod
    def finish(process: subprocess.Popen[str]) -> dict[str, float]:
        """Return the figures of a probe; end the program if it fails."""
        told, said = process.communicate()
        if process.returncode:
            sys.exit(f"{process.args!r}:\n{said}")
        figures: dict[str, float] = json.loads(told.splitlines()[-1])
        return figures

    def take(
        self,
        rounds: int,
        probe: str,
        *arguments: str,
        candidates: list[Candidate] | None = None,
        variables: dict[str, str] | None = None,
        counting: bool = False,
    ) -> dict[str, list[dict[str, float]]]:
        """Return the figures of every round, by candidate.

        Args:
            rounds: number of turns of each candidate.
            probe: name of the probe's file.
            arguments: arguments of the probe.
            candidates: the candidates; by default all.
            variables: the environment; by default that of a managed identity.
            counting: True to add the emulator's counters.
        """
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(rounds):
            for candidate in candidates or self.candidates:
                if counting:
                    self.service.counted()
                figures = self.finish(self.start(candidate, probe, *arguments, variables=variables))
                if counting:
                    requests, logins, refused = self.service.counted()
                    figures = {**figures, "requests": requests, "logins": logins, "refused": refused}
                found.setdefault(candidate.name, []).append(figures)
        return found


def rounded(value: float) -> float:
    """Round to four digits, which exceed the accuracy of all figures."""
    return float(f"{value:.4g}")


def summary(values: list[float]) -> dict[str, float]:
    """Return the summary of the rounds."""
    return {"median": rounded(statistics.median(values)), "min": rounded(min(values))}


def summarised(found: dict[str, list[dict[str, float]]], before: str = "") -> Figures:
    """Return medians and minima by the probe's names, with `before` as a prefix."""
    figures: Figures = {}
    for candidate, rounds in found.items():
        for measure in rounds[0]:
            figures.setdefault(before + measure, {})[candidate] = summary([figure[measure] for figure in rounds])
    return figures


def above(
    found: dict[str, list[dict[str, float]]], measure: str, floor: str = "static", less: float = 0.0
) -> dict[str, dict[str, float]]:
    """Return what the other candidates take in excess of the floor and of `less`."""
    floors = [figure[measure] + less for figure in found[floor]]
    return {
        candidate: difference([figure[measure] for figure in rounds], floors)
        for candidate, rounds in found.items()
        if candidate != floor
    }


def less(found: dict[str, list[dict[str, float]]], value: str, floor: str, name: str) -> Figures:
    """Return, under `name`, the excess of measures that end with `value` over those that end with `floor`."""
    figures: Figures = {}
    for candidate, rounds in found.items():
        for measure in rounds[0]:
            if measure.endswith(value):
                what = measure[: -len(value)]
                figures.setdefault(what + name, {})[candidate] = difference(
                    [figure[measure] for figure in rounds], [figure[what + floor] for figure in rounds]
                )
    return figures


def difference(values: list[float], floors: list[float]) -> dict[str, float]:
    """Return the median of the rounds' differences, and the difference of the minima."""
    differences = [value - floor for value, floor in zip(values, floors)]
    return {"median": rounded(statistics.median(differences)), "min": rounded(min(values) - min(floors))}
