"""Draw the charts from results.json and fleet.json: `python benches/charts.py`.

To add a chart, add a function to CHARTS and a text to report.CHARTS. Charts are readable on light and dark pages, and
the same results give the same files byte for byte.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import report
from matplotlib import pyplot as plt
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
FOLDER = HERE / "charts"
NAMES = {
    "ours": "this package",
    "peer": "azure-postgresql-auth with azure-identity",
    "static": "psycopg with a password",
}
COLOURS = {"ours": "#2f81f7", "peer": "#db6d28", "static": "#8b949e"}
INK = "#7d8590"
"""The colour of text and axes, which is visible on light and dark pages."""

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "azure-postgresql-auth-rs",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
}


_TELLABLE = 100
"""The least number of credentials: the memory of fewer is less than that of a page."""


def _plain(value: float, _: object = None) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"  # noqa: PLR2004


def _bars(axes: Axes, title: str, rows: dict[str, dict[str, dict[str, float]]], value: str = "median") -> None:
    """Draw horizontal bars, one group per row, with the figure at the end of each bar."""
    candidates = [name for name in NAMES if any(name in figures for figures in rows.values())]
    height = 0.8 / len(candidates)
    for place, (_, figures) in enumerate(rows.items()):
        for index, name in enumerate(candidates):
            if name in figures:
                width = max(figures[name][value], 0.0)
                at = place + (index - (len(candidates) - 1) / 2) * height
                axes.barh(at, width, height * 0.9, color=COLOURS[name])
                axes.annotate(f" {_plain(figures[name][value])}", (width, at), va="center", color=INK, fontsize=9)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.margins(x=0.12)
    axes.set_title(title)


def _lines(axes: Axes, title: str, lines: dict[str, tuple[str, str, list[tuple[float, float]]]]) -> None:
    """Draw lines on logarithmic axes; each label has a colour, a style and points."""
    for label, (colour, style, points) in lines.items():
        axes.plot(*zip(*points), style, color=colour, label=label, marker="o", markersize=4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < low * 100 else (1,)))
    axes.set_xticks(sorted({x for _, _, points in lines.values() for x, _ in points}))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_plain))
        axis.set_minor_locator(NullLocator())
    axes.set_title(title)


def _legend(figure: Figure, names: Iterable[str]) -> None:
    handles = [Patch(color=COLOURS[name]) for name in names]
    figure.legend(handles, [NAMES[name] for name in names], loc="outside lower center", ncols=3, fontsize=9)


def startup(results: dict[str, Any]) -> Figure:
    """Draw the time to the first row, and the cost of importing."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), width_ratios=(3, 2))
    started, imported = results["startup"], results["imports"]
    kinds = ("managed identity", "default credential", "Azure CLI")
    rows = {kind: started[f"{kind}: above static and endpoint, ms"] for kind in kinds}
    _bars(axes[0], "Cold start above a static login and the endpoint, ms", rows)
    weights = {"time, ms": imported["wall, ms"], "modules": imported["modules"]}
    _bars(axes[1], "Import, above psycopg's own", {k: _only(v, "ours", "peer") for k, v in weights.items()})
    _legend(figure, ("ours", "peer"))
    return figure


def footprint(results: dict[str, Any]) -> Figure:
    """Draw the memory and the size of the installation."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), width_ratios=(3, 2))
    memory = {
        "after import": results["imports"]["memory, MB"],
        "after the first row": results["startup"]["managed identity: memory, MB"],
    }
    _bars(axes[0], "Memory of the process, MB", memory)
    added = {"MB": results["installed"]["installed size, MB"], "distributions": results["installed"]["distributions"]}
    _bars(axes[1], "Installed besides the driver", added)
    _legend(figure, NAMES)
    return figure


def cached(results: dict[str, Any]) -> Figure:
    """Draw the cost of logins after the first one."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    logins = {
        "get_entra_conninfo": results["cached"]["get_entra_conninfo, us"],
        "CPU added to a\npsycopg 3 connection": results["connection"]["psycopg 3, us"],
        "CPU added to a\npsycopg2 connection": results["connection"]["psycopg2, us"],
    }
    _bars(axes[0], "A login with a cached token, us (minima)", logins, "min")
    tokens = {f"{size} KB": results["tokens"][f"decode_jwt, {size} KB, us"] for size in (1, 2, 7)}
    _bars(axes[1], "decode_jwt by the token's size, us (minima)", tokens, "min")
    _legend(figure, ("ours", "peer"))
    return figure


def requests(results: dict[str, Any]) -> Figure:
    """Draw token requests and waiting time by the number of concurrent connections."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    found = results["concurrency"]
    numbers = (1, 20, 100, 1000)
    for plot, title, measure in (
        (axes[0], "Token requests", "requests"),
        (axes[1], "Until all have their login, ms", "all logins, ms"),
    ):
        _lines(
            plot,
            title,
            {
                f"{NAMES[name]}, {kind}": (
                    COLOURS[name],
                    style,
                    [(number, found[f"{number} {kind}: {measure}"][name]["median"]) for number in numbers],
                )
                for name in ("ours", "peer")
                for kind, style in (("threads", "-"), ("tasks", "--"))
            },
        )
        plot.set_xlabel("first connections at once")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def scale(results: dict[str, Any]) -> Figure:
    """Draw the cost by the number of threads, credentials and scopes."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
    found = results["scale"]

    def points(before: str, after: str, name: str, value: str = "median") -> list[tuple[float, float]]:
        grown = ((measure[len(before) :], figures) for measure, figures in found.items() if measure.startswith(before))
        return [
            (float(rest[: -len(after)]), figures[name][value])
            for rest, figures in grown
            if rest.endswith(after) and name in figures
        ]

    both = ("ours", "peer")
    threads = {
        NAMES[name]: (COLOURS[name], "-", points("cached logins per second, ", " threads", name)) for name in both
    }
    _lines(axes[0], "Cached logins per second", threads)
    axes[0].set_xlabel("threads")
    memory = {
        NAMES[name]: (
            COLOURS[name],
            "-",
            [(number, number * each / 1024) for number, each in grown if number >= _TELLABLE],
        )
        for name, grown in ((name, points("memory of a credential, ", ", KB", name)) for name in both)
    }
    _lines(axes[1], "Memory of credentials, MB", memory)
    axes[1].set_xlabel("credentials")
    by_credentials = points("cached login, ", " credentials, us", "ours", "min")
    by_scopes = points("cached login, ", " scopes, us", "ours", "min")
    _lines(
        axes[2],
        "A cached login, us (minima)",
        {"by credentials": (COLOURS["ours"], "-", by_credentials), "by scopes": (COLOURS["ours"], "--", by_scopes)},
    )
    axes[2].set_ylim(0.1, 10)
    axes[2].set_xlabel("credentials (line), scopes (dashes)")
    _legend(figure, both)
    return figure


def fleet(simulated: dict[str, Any]) -> Figure:
    """Draw the token requests of 10,000 processes in a day."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=(3, 2))
    clients = {
        "azure-identity": ("managed identity", COLOURS["peer"]),
        "this package without its jitter": ("each process by itself, without jitter", COLOURS["static"]),
        "this package": ("each process by itself", COLOURS["ours"]),
        "its workers forked": ("8 workers forked from a parent with a token", "#8957e5"),
        "its cache folder shared": ("a shared cache folder on each machine", "#3fb950"),
    }
    by_name = {(scenario["name"], scenario["life_hours"]): scenario for scenario in simulated["scenarios"]}
    for label, (name, colour) in clients.items():
        minutes = by_name[name, 1]["requests_per_minute"][: _HOURS * 60]
        if label != "this package without its jitter":
            axes[0].plot([i / 60 for i in range(len(minutes))], [n / 60 for n in minutes], color=colour, linewidth=1)
    axes[0].set_ylim(0, 60)
    axes[0].set_xlabel("hours after the deployment")
    axes[0].set_title("Requests per second, tokens of an hour")
    for place, life in enumerate((1, 24)):
        for index, (label, (name, colour)) in enumerate(clients.items()):
            at, width = place + (index - 2) * 0.16, by_name[name, life]["peak_per_second_later"]
            axes[1].barh(at, width, 0.15, color=colour, label=label if place == 0 else None)
            axes[1].annotate(f" {_plain(width)}", (width, at), va="center", color=INK, fontsize=9)
    axes[1].set_yticks((0, 1), ("of an hour", "of a day"))
    axes[1].invert_yaxis()
    axes[1].margins(x=0.12)
    axes[1].set_title("Most in a second, once deployed")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9)
    return figure


_HOURS = 8
"""The hours of the day that are shown; the rest is similar."""


def _only(figures: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: figures[name] for name in names if name in figures}


CHARTS: dict[str, Callable[[dict[str, Any]], Figure]] = {
    "startup": startup,
    "footprint": footprint,
    "cached": cached,
    "requests": requests,
    "scale": scale,
    "fleet": fleet,
}


def draw() -> None:
    """Draw all charts."""
    found, simulated = (json.loads(path.read_text("utf-8")) for path in (report.RESULTS, report.FLEET))
    FOLDER.mkdir(exist_ok=True)
    plt.switch_backend("svg")
    with plt.rc_context(STYLE):
        for name in report.CHARTS:
            figure = CHARTS[name](simulated if name == "fleet" else found["results"])
            nothing = {"Date": None, "Creator": None}
            figure.savefig(FOLDER / f"{name}.svg", transparent=True, metadata=nothing)
            plt.close(figure)


if __name__ == "__main__":
    draw()
