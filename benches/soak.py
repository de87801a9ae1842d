"""Draw a soak's samples: `python benches/soak.py FOLDER`, with the folder that `make soak` names at its end.

Writes soak.json, with the results and at most POINTS samples of each process, charts/soak.svg and the README's section.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import report

HERE = Path(__file__).parent
SOAK = HERE / "soak.json"
POINTS = 60
FIGURES = {"memory": "Memory, MB", "threads": "Threads", "descriptors": "Descriptors"}
LOGINS = ("psycopg", "psycopg async", "psycopg2", "asyncpg", "django", "celery", "proxy")
"""The clients whose successes are logins to the server, or queries that each needed one."""
KEPT = (
    "seconds",
    "attempts that succeeded",
    "attempts that were allowed to fail",
    "seconds in which attempts may fail",
    "growth",
    "server",
    "identity service",
    "windows",
    "judgement",
)
BEGIN, END = "<!-- soak -->\n", "<!-- end of soak -->"


def condensed(folder: Path) -> dict[str, Any]:
    """Return the results, and samples and logins as medians of at most `POINTS` parts of the time."""
    found = json.loads((folder / "results.json").read_text("utf-8"))
    samples: dict[str, list[dict[str, Any]]] = {}
    for sample in _lines(folder / "samples.jsonl"):
        samples.setdefault(sample["process"], []).append(sample)
    counts = _lines(folder / "counts.jsonl")
    logins = [{"at": row["at"], **{client: row.get(client, 0) for client in LOGINS}} for row in counts]
    return {
        **{key: found[key] for key in KEPT},
        "logins": _series(logins, LOGINS),
        "samples": {name: _series(rows, FIGURES) for name, rows in samples.items()},
    }


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _series(rows: list[dict[str, Any]], names: Any) -> dict[str, list[float]]:
    size = max(1, -(-len(rows) // POINTS))
    parts = [rows[begin : begin + size] for begin in range(0, len(rows), size)]
    series = {"minutes": [round(part[0]["at"] / 60, 1) for part in parts]}
    for name in names:
        series[name] = [round(median(row[name] for row in part), 1) for part in parts]
    return series


def draw(found: dict[str, Any]) -> None:
    """Draw a panel for each figure, with a line for each process, and one of logins, with a line for each client."""
    # Imported here, because writing the section does not need them.
    import charts
    from matplotlib import pyplot as plt

    plt.switch_backend("svg")
    with plt.rc_context(charts.STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(10, 7))
        plots = axes.flat
        for plot, (name, title) in zip(plots, FIGURES.items()):
            for process, series in found["samples"].items():
                plot.plot(series["minutes"], series[name], linewidth=1, label=process)
            plot.set_title(title)
        logins = found["logins"]
        for client in LOGINS:
            plots[-1].plot(logins["minutes"], logins[client], linewidth=1, label=client)
        plots[-1].set_title("Logins since the start")
        plots[-1].legend(fontsize=8)
        for plot in plots:
            plot.set_ylim(bottom=0)
            plot.set_xlabel("minutes")
        figure.legend(*plots[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9)
        path = charts.FOLDER / "soak.svg"
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)


def section(found: dict[str, Any]) -> str:
    """Return the README's part."""
    succeeded, allowed = found["attempts that succeeded"], found["attempts that were allowed to fail"]
    total = sum(succeeded[client] for client in LOGINS)
    lines = [
        f"{found['seconds'] / 60:.0f} minutes, {total:,} logins, with tokens that live for 4 s.",
        "",
        "| client | logins | failed while they may | why |",
        "| --- | --- | --- | --- |",
    ]
    for client in LOGINS:
        reasons = allowed.get(client, {})
        why = ", ".join(f"{reason} {times}" for reason, times in sorted(reasons.items(), key=lambda item: -item[1]))
        lines.append(f"| {client} | {succeeded[client]:,} | {sum(reasons.values()):,} | {why} |")
    times = {**found["identity service"]["faults"], **found["windows"]}
    times["backends killed"] = found["server"]["backends killed"]
    lines += ["", "| fault | times |", "| --- | --- |", *(f"| {name} | {number:,} |" for name, number in times.items())]
    excused = ", ".join(f"{kind} {length:,}" for kind, length in found["seconds in which attempts may fail"].items())
    lines += ["", f"Seconds in which attempts may fail: {excused}.", ""]
    lines += ["| from the middle third to the last, a process grew by | MB | threads | descriptors |"]
    lines += ["| --- | --- | --- | --- |"]
    for process, grew in found["growth"].items():
        lines.append(f"| {process} | {grew['memory, MB']:g} | {grew['threads']:g} | {grew['descriptors']:g} |")
    wrong = found["judgement"]
    lines += ["", f"What should not have happened: {'; '.join(wrong) or 'nothing'}."]
    return "\n".join([*lines, "", "![Memory, threads, descriptors and logins of a soak](charts/soak.svg)"]) + "\n"


def rewritten(text: str, part: str) -> str:
    """Return the README with this part."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + part + END + rest.partition(END)[2]


def main() -> None:
    """Write all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    found = condensed(parser.parse_args().folder)
    SOAK.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    draw(found)
    report.DETAILS.write_text(rewritten(report.DETAILS.read_text("utf-8"), section(found)), "utf-8")


if __name__ == "__main__":
    main()
