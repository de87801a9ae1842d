"""Run scripts in the emulator's environment, with the modules of `make stress` on the path."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.platforms import LIMIT

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


LOAD = Path(__file__).parents[1] / "stress" / "process_load.py"
PRELUDE = f"""
import sys; sys.path.insert(0, {str(LOAD.parent)!r})
from process_load import *
"""


def execute(emulator: Emulator, *arguments: str, exit_code: int = 0) -> str:
    """Run Python in the emulator's environment; check its exit code and that stderr is empty; return its output."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **emulator.env},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (exit_code, ""), done.stdout + done.stderr
    return done.stdout


def run(emulator: Emulator, script: str) -> str:
    return execute(emulator, "-c", PRELUDE + textwrap.dedent(script))
