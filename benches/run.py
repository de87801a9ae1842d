"""Compare the release wheel with the alternatives that a user has, and check the goals.

    make bench

Writes results.json beside this file, and from it the charts and the README's figures. Takes about ten minutes.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import charts
import environments
import machine
import report
from goals import Goal, goals
from service import Service
from subjects import SUBJECTS
from turns import Turns

if TYPE_CHECKING:
    from environments import Candidate


def measured(candidates: list[Candidate]) -> dict[str, Any]:
    """Return every subject's figures."""
    results = {}
    with Service() as service:
        turns = Turns(candidates, service)
        for name, subject in SUBJECTS.items():
            begun = time.monotonic()
            results[name] = subject(turns)
            print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return results


def main() -> int:
    """Measure, write and print the figures, and check the goals."""
    candidates = environments.install()
    noise = machine.Noise()
    results = measured(candidates)
    verdict = goals(results)
    found = {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine.description(),
        "noise": noise.figures(),
        "versions": environments.versions(candidates),
        "results": results,
        "verdict": [goal.recorded() for goal in verdict],
    }
    report.RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    charts.draw()
    report.main()
    print(*verdict, sep="\n")
    return judged(verdict)


def judged(verdict: list[Goal]) -> int:
    """Run, and return the exit code: 1 if a goal is missed."""
    return 0 if all(goal.met for goal in verdict) else 1


if __name__ == "__main__":
    sys.exit(main())
