"""Write the measured figures into the README files and the documentation, between markers.

    python benches/report.py

`make bench` runs it at its end; these parts must not be edited by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
DETAILS = HERE / "README.md"
PAGE = HERE.parent / "docs/performance.md"
RESULTS = HERE / "results.json"
FLEET = HERE / "fleet.json"
BEGIN, END = "<!-- figures: written by `make bench` -->\n", "<!-- end of figures -->\n"

# The label of each row, and the names of its figures.
Row = tuple[str, str, str]
BRIEF: tuple[Row, ...] = (
    (
        "first login of a process: what it adds to a login with a password, not counting the token endpoint (ms)",
        "startup",
        "managed identity: above static and endpoint, ms",
    ),
    ("import: what it adds to psycopg's own (ms)", "imports", "wall, ms"),
    ("token requests when 1,000 tasks connect at once", "concurrency", "1000 tasks: requests"),
    ("distributions installed beside the driver's", "installed", "distributions"),
)
"""The rows of the project's README."""
ROWS: tuple[Row, ...] = (
    (
        "cold start to the first row above a static login and the endpoint's delay, managed identity (ms)",
        "startup",
        "managed identity: above static and endpoint, ms",
    ),
    ("the same, default credential (ms)", "startup", "default credential: above static and endpoint, ms"),
    ("the same, Azure CLI (ms)", "startup", "Azure CLI: above static and endpoint, ms"),
    ("import above psycopg's own, with a credential made (ms)", "imports", "wall, ms"),
    ("memory after the first row, managed identity (MB)", "startup", "managed identity: memory, MB"),
    ("distributions added to a driver's", "installed", "distributions"),
    ("their installed size (MB)", "installed", "installed size, MB"),
    ("`get_entra_conninfo`, cached (us)", "cached", "get_entra_conninfo, us"),
    ("CPU that a cached login adds to a psycopg 3 connection (us)", "connection", "psycopg 3, us"),
    ("token requests of 1,000 first connections at once, threads", "concurrency", "1000 threads: requests"),
    ("the same, tasks", "concurrency", "1000 tasks: requests"),
    (
        "longest gap of an event loop, 5 psycopg 3 connections waiting 500 ms for a token (ms)",
        "gap",
        "psycopg 3, native credential: waiting, ms",
    ),
    ("`decode_jwt`, 2 KB (us)", "tokens", "decode_jwt, 2 KB, us"),
    (
        "CPU of the cold start above a static login's, managed identity (ms)",
        "startup",
        "managed identity: CPU above static, ms",
    ),
    ("modules that the import brings", "imports", "modules"),
    ("memory after import (MB)", "imports", "memory, MB"),
    ("memory that one login's result holds (bytes)", "cached", "bytes held by a login"),
    ("CPU that a cached login adds to a psycopg2 connection (us)", "connection", "psycopg2, us"),
    ("... to a SQLAlchemy connection on psycopg 3 (us)", "connection", "SQLAlchemy, us"),
    ("... to an asyncpg connection (us)", "connection", "asyncpg, us"),
    ("token requests of 20 first connections at once, threads", "concurrency", "20 threads: requests"),
    ("until all of 1,000 threads have their login (ms)", "concurrency", "1000 threads: all logins, ms"),
    ("logins per second through a pool that keeps no connection, 4 threads", "churn", "logins per second"),
    ("CPU of such a login (ms)", "churn", "CPU of a login, ms"),
    ("32 s with tokens of 10 s and an outage of 4 s: token requests", "outage", "requests"),
    ("the same: failed logins", "outage", "failed logins"),
    ("the same: longest login (s)", "outage", "longest login, s"),
    ("`decode_jwt`, 7 KB (us)", "tokens", "decode_jwt, 7 KB, us"),
)
"""The charts of this folder's README."""
PAGE_ROWS = (*ROWS[:13], *(row for row in ROWS if row[1] in {"churn", "outage"}))
"""Those of the documentation's page: what decides, and what does not."""
CANDIDATES = ("ours", "peer", "static")


CHARTS = {
    "startup": "Start-up: cold start to the first row, and import",
    "requests": "Token requests of first connections at once",
    "fleet": "Token requests of 10,000 processes over a day, simulated",
    "footprint": "Footprint: memory and installed size",
    "cached": "Cached logins and decoding",
    "scale": "Cost as work grows",
}
IN_README = "startup"


def summary(results: dict[str, Any]) -> str:
    """Return the part of the README: medians, and one chart."""
    versions = results["versions"]
    lines = [f"| | this package | Microsoft's {versions['azure-postgresql-auth']} |", "| --- | --- | --- |"]
    for name, subject, measure in BRIEF:
        by_candidate = results["results"][subject][measure]
        ours, peer = (_number(by_candidate[candidate]["median"]) for candidate in ("ours", "peer"))
        lines.append(f"| {name} | **{ours}** | {peer} |")
    lines += ["", f"![{CHARTS[IN_README]}](benches/charts/{IN_README}.svg)"]
    return "\n".join(lines) + "\n"


def details(results: dict[str, Any], fleet: dict[str, Any]) -> str:
    """Return the part of this folder's README."""
    lines = [*_measured(results), *_table(results, ROWS), "", "## Goals", ""]
    lines += ["| goal | measured | bound | |", "| --- | --- | --- | --- |"]
    for goal in results["verdict"]:
        met = "met" if goal["met"] else "**MISSED**"
        lines.append(f"| {goal['what']} | {goal['measured']:g} ({goal['judged']}) | {_bound(goal)} | {met} |")
    lines += ["", "## Charts", "", *(f"![{text}](charts/{name}.svg)" for name, text in CHARTS.items())]
    return "\n".join([*lines, "", "## A fleet", "", *_fleet(fleet)]) + "\n"


def page(results: dict[str, Any]) -> str:
    """Return the part of the documentation's page: the first rows, the goals that were missed, and the charts."""
    lines = [*_measured(results), *_table(results, PAGE_ROWS), "", "## Goals that were missed", ""]
    missed = [goal for goal in results["verdict"] if not goal["met"]]
    lines += [f"- {goal['what']}: {goal['measured']:g}, and the goal was {_bound(goal)}" for goal in missed] or [
        "None."
    ]
    lines += ["", "## Charts", "", *(f"![{text}](../benches/charts/{name}.svg)" for name, text in CHARTS.items())]
    return "\n".join(lines) + "\n"


def _bound(goal: dict[str, Any]) -> str:
    return f"{'at least' if goal['at_least'] else 'at most'} {goal['bound']:g}"


def _measured(results: dict[str, Any]) -> list[str]:
    machine, noise, versions = results["machine"], results["noise"], results["versions"]
    return [
        f"Measured on {results['date']} with Python {machine['python']} and psycopg {versions['psycopg']}, on",
        f"{machine['processors']} processors ({machine['processor']}, {machine['system']}) with",
        f"{noise['steal, %']:g} % CPU steal; the load was {noise['load before']:g} before and",
        f"{noise['load after']:g} after. Each figure is a median, with",
        "the minimum in brackets, of processes that took turns; what is above something else is the median",
        "of the rounds' differences, with the difference of the minima in brackets.",
        "",
    ]


def _table(results: dict[str, Any], rows: tuple[Row, ...]) -> list[str]:
    versions = results["versions"]
    peer = f"azure-postgresql-auth {versions['azure-postgresql-auth']}, azure-identity {versions['azure-identity']}"
    lines = [f"| | this package | {peer} | psycopg with a password |", "| --- | --- | --- | --- |"]
    for name, subject, measure in rows:
        by_candidate = results["results"][subject][measure]
        cells = [_cell(by_candidate.get(candidate)) for candidate in CANDIDATES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _fleet(fleet: dict[str, Any]) -> list[str]:
    """Return the results of `make fleet`: a line for each client, with its outages."""
    by_name = {(s["client"], s["name"], s["life_hours"]): s for s in fleet["scenarios"]}
    heads = (
        "client",
        "tokens live",
        "requests in a day",
        "most in a second",
        "the same, 10 minutes after the deployment",
        "most in a second after an outage",
        "failed logins in it",
        "failed logins where the deployment is in it",
    )
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for (client, name, life), found in by_name.items():
        if found["outage"] is not None:
            continue
        outage = by_name.get((client, f"{name}; outage of 20 minutes", life), {})
        deployed = by_name.get((client, f"{name}; deployment during an outage of 20 minutes", life), {})
        values = (
            found["total"],
            found["peak_per_second"],
            found["peak_per_second_later"],
            outage.get("peak_per_second_after_outage"),
            outage.get("failed_logins"),
            deployed.get("failed_logins"),
        )
        cells = " | ".join(NOTHING if value is None else f"{value:,}" for value in values)
        lines.append(f"| {client}: {name} | {life} h | {cells} |")
    return lines


NOTHING = "–"  # noqa: RUF001 - typographically correct


def _cell(figure: dict[str, float] | None) -> str:
    if figure is None:
        return NOTHING
    median, least = _number(figure["median"]), _number(figure["min"])
    return median if median == least else f"{median} ({least})"


def _number(value: float) -> str:
    """Return a number with three digits, without the exponent of the format `g`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004


def rewritten(text: str, part: str) -> str:
    """Return a text with the part between the markers replaced."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + part + END + after


def main() -> None:
    """Write all parts."""
    results, fleet = (json.loads(path.read_text("utf-8")) for path in (RESULTS, FLEET))
    for path, part in ((README, summary(results)), (DETAILS, details(results, fleet)), (PAGE, page(results))):
        path.write_text(rewritten(path.read_text("utf-8"), part), "utf-8")


if __name__ == "__main__":
    main()
