"""The README's figures, written from results.json between two markers.

    python benches/report.py

`make bench` does it at its end; nobody edits that part by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
RESULTS = HERE / "results.json"
BEGIN, END = "<!-- figures: written by `make bench` -->\n", "<!-- end of figures -->\n"

# What a row is called, and where its figures are.
ROWS = (
    (
        "cold start to the first row above a static login and the endpoint's delay, managed identity (ms)",
        "startup",
        "managed identity: above static and endpoint, ms",
    ),
    ("the same, default credential (ms)", "startup", "default credential: above static and endpoint, ms"),
    ("the same, Azure CLI (ms)", "startup", "Azure CLI: above static and endpoint, ms"),
    (
        "CPU of the cold start above a static login's, managed identity (ms)",
        "startup",
        "managed identity: CPU above static, ms",
    ),
    ("import above psycopg's own, with a credential made (ms)", "imports", "wall, ms"),
    ("modules that brings", "imports", "modules"),
    ("memory after import (MB)", "imports", "memory, MB"),
    ("memory after the first row, managed identity (MB)", "startup", "managed identity: memory, MB"),
    ("distributions added to a driver's", "installed", "distributions"),
    ("their installed size (MB)", "installed", "installed size, MB"),
    ("`get_entra_conninfo`, cached (us)", "cached", "get_entra_conninfo, us"),
    ("memory that one login's result holds (bytes)", "cached", "bytes held by a login"),
    ("CPU that a cached login adds to a psycopg 3 connection (us)", "connection", "psycopg 3, us"),
    ("... to a psycopg2 connection (us)", "connection", "psycopg2, us"),
    ("... to a SQLAlchemy connection on psycopg 3 (us)", "connection", "SQLAlchemy, us"),
    ("... to an asyncpg connection (us)", "connection", "asyncpg, us"),
    ("token requests of 20 first connections at once, threads", "concurrency", "20 threads: requests"),
    ("token requests of 1,000, threads", "concurrency", "1000 threads: requests"),
    ("token requests of 1,000, tasks", "concurrency", "1000 tasks: requests"),
    ("until all 1,000 threads have their login (ms)", "concurrency", "1000 threads: all logins, ms"),
    (
        "longest gap of an event loop, 5 psycopg 3 connections waiting 500 ms for a token (ms)",
        "gap",
        "psycopg 3, native credential: waiting, ms",
    ),
    ("logins per second through a pool that keeps no connection, 4 threads", "churn", "logins per second"),
    ("CPU of such a login (ms)", "churn", "CPU of a login, ms"),
    ("32 s with tokens of 10 s and an outage of 4 s: token requests", "outage", "requests"),
    ("the same: failed logins", "outage", "failed logins"),
    ("the same: longest login (s)", "outage", "longest login, s"),
    ("`decode_jwt`, 2 KB (us)", "tokens", "decode_jwt, 2 KB, us"),
    ("`decode_jwt`, 7 KB (us)", "tokens", "decode_jwt, 7 KB, us"),
)
CANDIDATES = ("ours", "peer", "static")


def figures(results: dict[str, Any]) -> str:
    """The part between the markers."""
    machine, versions, noise = results["machine"], results["versions"], results["noise"]
    peer = f"azure-postgresql-auth {versions['azure-postgresql-auth']}, azure-identity {versions['azure-identity']}"
    lines = [
        f"Measured on {results['date']} with Python {machine['python']} and psycopg {versions['psycopg']}, on",
        f"{machine['processors']} processors ({machine['processor']}, {machine['system']}) that lost",
        f"{noise['steal, %']:g} % of their time to others; the load was {noise['load before']:g} before and",
        f"{noise['load after']:g} after. Each figure is a median, with",
        "the minimum in brackets, of processes that took turns.",
        "",
        f"| | this package | {peer} | psycopg with a password |",
        "| --- | --- | --- | --- |",
    ]
    for name, subject, measure in ROWS:
        by_candidate = results["results"][subject][measure]
        cells = [_cell(by_candidate.get(candidate)) for candidate in CANDIDATES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", _verdict(results["verdict"]), ""]
    lines += ["| goal | measured | bound | |", "| --- | --- | --- | --- |"]
    for goal in results["verdict"]:
        bound = f"{'at least' if goal['at_least'] else 'at most'} {goal['bound']:g}"
        met = "met" if goal["met"] else "**MISSED**"
        lines.append(f"| {goal['what']} | {goal['measured']:g} ({goal['judged']}) | {bound} | {met} |")
    lines.append("")
    lines += [f"![{text}](benches/charts/{name}.svg)" for name, text in CHARTS.items()]
    return "\n".join(lines) + "\n"


CHARTS = {
    "startup": "Start-up: cold start to the first row, and import",
    "footprint": "Footprint: memory and installed size",
    "cached": "Cached logins and decoding",
    "requests": "Token requests of first connections at once",
    "scale": "Cost as work grows",
}


def _cell(figure: dict[str, float] | None) -> str:
    if figure is None:
        return "–"  # noqa: RUF001 - as typesetters do
    median, least = _number(figure["median"]), _number(figure["min"])
    return median if median == least else f"{median} ({least})"


def _number(value: float) -> str:
    """Three digits, without the exponent of `g`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004


def _verdict(verdict: list[dict[str, Any]]) -> str:
    met = sum(goal["met"] for goal in verdict)
    return f"{met} of {len(verdict)} goals are met:"


def rewritten(readme: str, results: dict[str, Any]) -> str:
    """The README with the figures of these results."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + figures(results) + END + after


def main() -> None:
    """Writes the README."""
    results = json.loads(RESULTS.read_text("utf-8"))
    README.write_text(rewritten(README.read_text("utf-8"), results), "utf-8")


if __name__ == "__main__":
    main()
