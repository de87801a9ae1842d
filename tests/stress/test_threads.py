"""threads.py, shortened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_threads_and_forks() -> None:
    script = Path(__file__).with_name("threads.py")
    done = subprocess.run([sys.executable, script, "3"], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
