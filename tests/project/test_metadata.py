"""The metadata that PyPI shows is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.django_project import POSTGIS, STACKS
from tests.support.wheels import VERSIONS

PYPROJECT = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")


def classified(topic: str) -> list[str]:
    """Return the versions in the classifiers of a topic."""
    return re.findall(rf'^    "{topic} :: (\d+\.\d+)",$', PYPROJECT, re.MULTILINE)


def test_classifiers_name_what_is_tested() -> None:
    pythons = classified("Programming Language :: Python")
    assert pythons == VERSIONS[: len(pythons)] != []
    assert f'requires-python = ">={pythons[0]}"' in PYPROJECT
    installed = " ".join(requirement for stack in [*STACKS, POSTGIS] for requirement in stack.requirements)
    assert set(classified("Framework :: Django")) == set(re.findall(r"django[~>]=(\d+\.\d+)", installed)) != set()


def test_no_crate_is_a_pre_release_without_a_reason() -> None:
    locked = (Path(__file__).parents[2] / "Cargo.lock").read_text("utf-8")
    crates = re.findall(r'^name = "(.+)"\nversion = "(.+)"$', locked, re.MULTILINE)
    # Cargo.toml has the reason, beside p12-keystore. Once they are released, this says so.
    assert {name for name, version in crates if "-" in version.partition("+")[0]} == {"cms", "pkcs12"}


def test_licences_are_those_of_what_is_linked() -> None:
    script = Path(__file__).parents[2] / ".ci" / "licenses.py"
    checked = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
