"""The rows of `make bench-curves`, as a table and as a plot."""

from itertools import groupby
from pathlib import Path
from typing import TypedDict

from bench.results import verdict
from bench.svg import panels


class CurveRow(TypedDict):
    """A row of curves.json: medians over the rounds at one value of what a curve changes."""

    curve: str
    axis: str
    value: float
    clicks: int
    parallelism: int
    clicks_per_s: int
    cpu_s_per_million: float
    python_mb: int
    correct: bool
    finished: bool
    rounds: list[int]


def curve_table(rows: list[CurveRow]) -> str:
    """Return the rows as Markdown."""
    lines = ["| | | clicks/s | CPU s per million | Python workers, peak MB | counts |", "|" + "---|" * 6]
    for row in rows:
        cells = (f"{row['clicks_per_s']:,}", str(row["cpu_s_per_million"]), f"{row['python_mb']:,}")
        counts = verdict(row["correct"], row["finished"])
        lines.append(f"| {row['axis']} | {row['value']:,} | {' | '.join(cells)} | {counts} |")
    return "\n".join(lines) + "\n"


def draw_curves(rows: list[CurveRow], file: Path) -> None:
    """Draw a panel for each curve: clicks per second, and CPU seconds per million below it."""
    curves = [list(group) for _, group in groupby(rows, key=lambda row: row["curve"])]
    with panels(file, 2, len(curves), (3.2 * len(curves), 4.6)) as drawn:
        for column, curve in enumerate(curves):
            values = [f"{row['value']:,}" for row in curve]
            drawn[0][column].plot(values, [row["clicks_per_s"] for row in curve], marker="o", color="#2a78d6")
            drawn[1][column].plot(values, [row["cpu_s_per_million"] for row in curve], marker="o", color="#8a5a00")
            drawn[1][column].set_xlabel(curve[0]["axis"], fontsize=9)
            for panel in drawn[:, column]:
                panel.set_ylim(0, 1.15 * panel.dataLim.ymax)
                panel.tick_params(labelsize=8)
                panel.yaxis.set_major_formatter("{x:,.0f}")
        drawn[0][0].set_ylabel("clicks/s", fontsize=9)
        drawn[1][0].set_ylabel("CPU s per million", fontsize=9)
