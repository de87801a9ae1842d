"""The candidates' environments, each with every driver and one candidate."""

from __future__ import annotations

import json
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".venv" / "bench"
# azure-identity's asynchronous credentials need aiohttp, which is not counted in the peer's size.
FLOOR = ["psycopg[binary]", "psycopg-pool", "psycopg2-binary", "asyncpg", "sqlalchemy[asyncio]", "aiohttp"]
PEER = ["azure-postgresql-auth==1.1.0", "azure-identity"]

INVENTORY = """
import json, os
from importlib.metadata import distributions
found = {}
for distribution in distributions():
    files = [file for file in distribution.files or () if "__pycache__" not in file.parts]
    sizes = [os.path.getsize(path) for path in map(distribution.locate_file, files) if os.path.isfile(path)]
    found[distribution.name.lower().replace("_", "-")] = [distribution.version, sum(sizes)]
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Candidate:
    """A candidate of the comparison."""

    name: str
    python: Path

    def inventory(self) -> dict[str, Any]:
        """Return the installed distributions, with version and size in bytes."""
        done = subprocess.run([self.python, "-c", INVENTORY], capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def install() -> list[Candidate]:
    """Create missing environments, and install the current wheel in the package's own."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    ours = _environment("ours")
    _pip(ours, "--force-reinstall", "--no-deps", str(wheel))
    peer, static = _environment("peer", *PEER), _environment("static")
    return [Candidate("ours", ours), Candidate("peer", peer), Candidate("static", static)]


def _environment(name: str, *requirements: str) -> Path:
    python = FOLDER / name / "bin" / "python"
    if not (FOLDER / name / "ready").exists():
        venv.create(FOLDER / name, with_pip=True, clear=True)
        _pip(python, *FLOOR, *requirements)
        (FOLDER / name / "ready").touch()
    return python


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def weight(candidates: list[Candidate]) -> dict[str, dict[str, float]]:
    """Return the distributions that a candidate adds to a driver's environment, and their size in bytes."""
    inventories = {candidate.name: candidate.inventory() for candidate in candidates}
    added = {
        name: [size for distribution, (_, size) in found.items() if distribution not in inventories["static"]]
        for name, found in inventories.items()
        if name != "static"
    }
    return {
        "distributions": {name: len(sizes) for name, sizes in added.items()},
        "installed size, MB": {name: sum(sizes) / 1e6 for name, sizes in added.items()},
    }


def versions(candidates: list[Candidate]) -> dict[str, str]:
    """Return the versions of the drivers and packages that were measured."""
    wanted = ["psycopg", "psycopg-pool", "psycopg2-binary", "asyncpg", "sqlalchemy", "aiohttp"]
    wanted += ["azure-postgresql-auth-rs", "azure-postgresql-auth", "azure-identity", "azure-core", "msal"]
    found = {name: version for candidate in candidates for name, (version, _) in candidate.inventory().items()}
    return {name: found[name] for name in wanted}
