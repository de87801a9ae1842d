"""The workflows, which only GitHub can run: what they call exists, and they try the oldest and the newest CPython."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.wheels import VERSIONS

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS = {file.stem: yaml.safe_load(file.read_text("utf-8")) for file in FILES}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def commands(workflow: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for job in workflow["jobs"].values() for step in job.get("steps", []))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_is_called_exists(name: str) -> None:
    run = commands(WORKFLOWS[name])
    words = " ".join(re.findall(r"^make (.+)", run, re.MULTILINE)).split()
    called = {word for word in words if "=" not in word}
    assert called <= TARGETS
    assert called
    for file in re.findall(r"\bpython (?:/src/)?(\S+\.py)", run):
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize("platform", ["linux", "macos", "windows", "alpine"])
def test_oldest_and_newest_python(platform: str) -> None:
    matrix = WORKFLOWS["ci"]["jobs"][platform]["strategy"]["matrix"]
    versions = matrix.get("python") or [entry["python"] for entry in matrix["include"]]
    assert versions == [VERSIONS[0], VERSIONS[-1]]
