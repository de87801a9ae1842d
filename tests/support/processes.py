"""Scripts that run among the emulator's variables, with the load of `make stress` at hand."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


LOAD = Path(__file__).parents[1] / "stress" / "process_load.py"
PRELUDE = f"""
import sys; sys.path.insert(0, {str(LOAD.parent)!r})
from process_load import *
"""


def execute(emulator: Emulator, *arguments: str, exit_code: int = 0) -> str:
    """Runs Python among the emulator's variables; gives what it printed, once it ended as it should, in silence."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **emulator.env},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (exit_code, ""), done.stdout
    return done.stdout


def run(emulator: Emulator, script: str) -> str:
    return execute(emulator, "-c", PRELUDE + textwrap.dedent(script))
