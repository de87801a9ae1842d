"""Draw a soak's samples: `python benches/soak.py FOLDER`, with the folder that `make soak` names at its end.

Writes soak.json, with the results and at most POINTS samples of each process, and charts/soak.svg.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import charts
from matplotlib import pyplot as plt

SOAK = Path(__file__).parent / "soak.json"
POINTS = 200
FIGURES = {"memory": "Memory, MB", "threads": "Threads", "descriptors": "Descriptors"}
KEPT = (
    "seconds",
    "attempts that succeeded",
    "attempts that were allowed to fail",
    "seconds in which attempts may fail",
    "growth",
    "judgement",
)


def condensed(folder: Path) -> dict[str, Any]:
    """Return the results, and the samples of each process as medians of `POINTS` parts of the time."""
    found = json.loads((folder / "results.json").read_text("utf-8"))
    samples: dict[str, list[dict[str, Any]]] = {}
    with (folder / "samples.jsonl").open(encoding="utf-8") as file:
        for line in file:
            sample = json.loads(line)
            samples.setdefault(sample["process"], []).append(sample)
    return {**{key: found[key] for key in KEPT}, "samples": {name: _series(rows) for name, rows in samples.items()}}


def _series(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    size = max(1, -(-len(rows) // POINTS))
    parts = [rows[begin : begin + size] for begin in range(0, len(rows), size)]
    series = {"minutes": [round(part[0]["at"] / 60, 1) for part in parts]}
    for figure in FIGURES:
        series[figure] = [round(median(row[figure] for row in part), 1) for part in parts]
    return series


def draw(found: dict[str, Any]) -> None:
    """Draw a panel for each figure, with a line for each process."""
    plt.switch_backend("svg")
    with plt.rc_context(charts.STYLE):
        figure, axes = plt.subplots(1, len(FIGURES), figsize=(10, 3.6))
        for plot, (name, title) in zip(axes, FIGURES.items()):
            for process, series in found["samples"].items():
                plot.plot(series["minutes"], series[name], linewidth=1, label=process)
            plot.set_ylim(bottom=0)
            plot.set_title(title)
            plot.set_xlabel("minutes")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9)
        path = charts.FOLDER / "soak.svg"
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    found = condensed(parser.parse_args().folder)
    SOAK.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    draw(found)


if __name__ == "__main__":
    main()
