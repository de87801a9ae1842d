"""Measures the release wheel beside what a user would have instead, in turns, and says whether the goals are met.

    make bench

Writes results.json beside this file. Every figure in the README comes from there.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from azure_postgresql_auth.emulator import Emulator

HERE = Path(__file__).parent
ROOT = HERE.parent
ENVIRONMENTS = ROOT / ".venv" / "bench"
DRIVER = ["psycopg[binary]", "psycopg-pool"]
DRIVERS = [*DRIVER, "psycopg2-binary", "asyncpg", "sqlalchemy[asyncio]"]
ROUNDS = 7


def environment(name: str, *requirements: str) -> Path:
    """A virtual environment with nothing but these; the path of its Python."""
    python = ENVIRONMENTS / name / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENTS / name, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    return python


def installed() -> dict[str, Path]:
    """Pythons of the candidates."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    ours = environment("ours", *DRIVERS)
    subprocess.run([ours, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", wheel], check=True)
    return {
        "ours": ours,
        "azure-postgresql-auth": environment(
            "peer", *DRIVER, "azure-postgresql-auth==1.1.0", "azure-identity", "aiohttp"
        ),
        "static password": environment("static", *DRIVER),
    }


def probe(python: Path, candidate: str, what: str, variables: dict[str, str]) -> dict[str, float]:
    """Runs one measurement in a process of its own."""
    script = HERE / "probe.py"
    done = subprocess.run(
        [python, script, candidate, what], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{candidate}, {what}:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(pythons: dict[str, Path], emulator: Emulator) -> dict[str, Any]:
    """All measurements: each candidate in turn, over and over."""
    identity = emulator.identity
    variables = {**emulator.env, "BENCH_USER": identity.name, "BENCH_TOKEN": emulator.token(identity)}
    results: dict[str, Any] = {}
    for what in ("import", "cached", "login", "added", "gap"):
        emulator.latency = 0.5 if what == "gap" else 0.0
        rows: dict[str, list[dict[str, float]]] = {}
        for _ in range(ROUNDS):
            for candidate, python in pythons.items():
                rows.setdefault(candidate, []).append(probe(python, candidate, what, variables))
        for candidate, found in rows.items():
            for name in found[0]:
                values = [row[name] for row in found]
                results.setdefault(name, {})[candidate] = {
                    "median": round(statistics.median(values), 3),
                    "min": round(min(values), 3),
                }
    return results


def goals(results: dict[str, Any], wheel: int, extension: int) -> list[tuple[str, float, float]]:
    """Name, measured, at most."""

    def ours(name: str) -> float:
        return float(results[name]["ours"]["median"])

    floor = results["memory after first row, MB"]["static password"]["median"]
    return [
        ("cached get_entra_conninfo, us", ours("cached get_entra_conninfo, us"), 1.0),
        ("cached login in Rust, us", ours("cached login in Rust, us"), 0.2),
        ("import of the extension, ms", ours("import of the extension, ms"), 2.0),
        ("extension, MB", round(extension / 1e6, 2), 5.0),
        ("wheel, MB", round(wheel / 1e6, 2), 2.5),
        ("threads left after first row", ours("threads left after first row"), 1),
        *((name, ours(name), 50.0) for name in results if name.startswith("added to a connection")),
        *((name, ours(name), 25.0) for name in results if name.startswith("longest gap")),
        ("memory above plain psycopg, MB", round(ours("memory after first row, MB") - floor, 2), 6.0),
    ]


def main() -> int:
    """Measures, writes, prints, judges."""
    pythons = installed()
    with Emulator() as emulator:
        results = measure(pythons, emulator)
    (wheel,) = (ROOT / "dist").glob("*.whl")
    (extension,) = (ENVIRONMENTS / "ours").rglob("_core*.so")
    verdict = goals(results, wheel.stat().st_size, extension.stat().st_size)
    report = {
        "machine": {"python": platform.python_version(), "system": platform.system(), "cores": os.cpu_count()},
        "rounds": ROUNDS,
        "results": results,
        "goals": [{"goal": name, "measured": value, "at most": limit} for name, value, limit in verdict],
    }
    (HERE / "results.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    for name, candidates in results.items():
        print(name)
        for candidate, found in candidates.items():
            print(f"  {candidate:24} median {found['median']:10}   min {found['min']:10}")
    met = True
    for name, value, limit in verdict:
        met &= value <= limit
        print(f"{'met   ' if value <= limit else 'MISSED'} {name}: {value} (at most {limit})")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
