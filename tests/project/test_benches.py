"""What `make bench` makes of its measurements: the verdict, and the README's figures."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import goals
import pytest
import report
import soak
import turns

ROOT = Path(__file__).parents[2]
FOUND: dict[str, Any] = json.loads(report.RESULTS.read_text("utf-8"))
FLEET: dict[str, Any] = json.loads(report.FLEET.read_text("utf-8"))


def test_readme_says_what_the_soak_found() -> None:
    text = report.DETAILS.read_text("utf-8")
    found = json.loads(soak.SOAK.read_text("utf-8"))
    assert soak.rewritten(text, soak.section(found)) == text


def test_readmes_say_what_was_measured() -> None:
    """Neither a figure written by hand, nor one from an older run."""
    for path, part in (
        (report.README, report.summary(FOUND)),
        (report.DETAILS, report.details(FOUND, FLEET)),
        (report.PAGE, report.page(FOUND)),
    ):
        text = path.read_text("utf-8")
        assert part in text
        assert report.rewritten(text, part) == text


def test_another_figure_is_another_readme() -> None:
    found, fleet = copy.deepcopy(FOUND), copy.deepcopy(FLEET)
    found["results"]["imports"]["wall, ms"]["ours"]["median"] += 100
    fleet["scenarios"][0]["total"] += 1
    assert report.summary(found) != report.summary(FOUND)
    assert report.details(FOUND, fleet) != report.details(FOUND, FLEET)


def test_verdict_is_of_these_results() -> None:
    assert [goal.recorded() for goal in goals.goals(FOUND["results"])] == FOUND["verdict"]


def test_results_tell_nothing_of_the_place() -> None:
    text = json.dumps(FOUND)
    assert "/" not in text.replace("://", "")
    assert set(FOUND["machine"]) == {"processor", "processors", "python", "system"}


@pytest.mark.parametrize(
    ("subject", "measure", "value", "bad"),
    [
        ("startup", "managed identity: above static and endpoint, ms", "median", 15.1),
        ("startup", "Azure CLI: above static and endpoint, ms", "median", 15.1),
        ("imports", "wall, ms", "median", 6.1),
        ("imports", "memory above static, MB", "median", 6.1),
        ("startup", "managed identity: memory above static, MB", "median", 6.1),
        ("installed", "distributions", "median", 2),
        ("installed", "installed size, MB", "median", 5.1),
        ("cached", "get_entra_conninfo, us", "min", 0.51),
        ("cached", "native call, us", "min", 0.16),
        ("connection", "asyncpg, us", "median", 41),
        ("concurrency", "1000 tasks: requests", "max", 2),
        ("gap", "psycopg 3, native credential: above idle, ms", "median", 16),
        ("tokens", "decode_jwt, 7 KB, us", "min", 1e6),
        ("tokens", "user alone, 1 KB, us", "min", 1e6),
    ],
)
def test_a_goal_that_is_missed_is_in_the_verdict(subject: str, measure: str, value: str, bad: float) -> None:
    good, results = copy.deepcopy(FOUND["results"]), copy.deepcopy(FOUND["results"])
    good[subject][measure]["ours"][value] = 1e-9
    results[subject][measure]["ours"][value] = bad
    mended = {goal.what for goal in goals.goals(results) if not goal.met}
    mended -= {goal.what for goal in goals.goals(good) if not goal.met}
    assert len(mended) == 1
    (line,) = [str(goal) for goal in goals.goals(results) if goal.what in mended]
    assert line.startswith("MISSED")


def test_number_above_its_own_floor() -> None:
    found = {"ours": [{"a: x, ms": 5.0, "a: idle, ms": 1.0}, {"a: x, ms": 9.0, "a: idle, ms": 2.0}]}
    assert turns.less(found, ": x, ms", ": idle, ms", ", ms") == {"a, ms": {"ours": {"median": 5.5, "min": 4.0}}}


def test_number_above_the_floor() -> None:
    found = {"static": [{"ms": 10.0}, {"ms": 50.0}, {"ms": 10.0}], "ours": [{"ms": 14.0}, {"ms": 55.0}, {"ms": 99.0}]}
    assert turns.above(found, "ms", less=1.0) == {"ours": {"median": 4.0, "min": 3.0}}
    assert turns.summarised(found)["ms"] == {
        "static": {"median": 10.0, "min": 10.0},
        "ours": {"median": 55.0, "min": 14.0},
    }
