"""Run a soak: python -m tests.stress.soak [SECONDS [FOLDER]]."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path

from azure_postgresql_auth.emulator import Emulator

from tests.stress.soak.run import soak
from tests.support.emulator import hidden_world


def main() -> int:
    """Print what happened as JSON; logs, samples and failures stay in the folder, which must be empty."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="soak-")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with hidden_world(), Emulator() as emulator:
        found = soak(emulator, seconds, folder, everything=True)
    text = json.dumps(found, indent=2)
    (folder / "results.json").write_text(text + "\n", "utf-8")
    print(text, f"\nLogs and samples are in {folder}")  # noqa: T201
    return 1 if found["judgement"] else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
