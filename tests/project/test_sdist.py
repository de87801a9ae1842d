"""The sdist that `make sdist` built: what it holds, and that pip makes the package of it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.django_project import OUTER_WORLD
from tests.support.wheels import runs_alone

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

ROOT = Path(__file__).parents[2]
SDISTS = sorted((ROOT / "dist").glob("*.tar.gz"))

pytestmark = [
    pytest.mark.versions,
    pytest.mark.skipif(not SDISTS, reason="`make sdist` has not been run"),
]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is not a clone")
def test_it_holds_what_is_tracked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    with tarfile.open(SDISTS[-1]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert names == {*listed.stdout.splitlines(), "PKG-INFO"}


@pytest.mark.timeout(1800)  # a release build of everything
def test_pip_builds_it(emulator: Emulator, tmp_path: Path) -> None:
    runs_alone(sys.executable, tmp_path / "venv", str(SDISTS[-1]), emulator=emulator, env=OUTER_WORLD)
