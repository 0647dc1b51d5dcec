"""The rows of `make bench`, as a table and as a plot."""

from pathlib import Path

from bench.results import Row, compared
from bench.svg import panels

_COLOURS = {True: "#2a78d6", False: "#c0392b", None: "#9a9a9a"}


def run_table(rows: list[Row]) -> str:
    """Return the rows as Markdown; a ratio is Clickproof's rate to that of the row."""
    lines = [
        "| parallelism | system | clicks/s | Clickproof is | CPU s per million | wall s | counts | rounds |",
        "|" + "---|" * 8,
    ]
    lines += [f"| {' | '.join(cells)} |" for cells in compared(rows)]
    return "\n".join(lines) + "\n"


def draw_run(rows: list[Row], file: Path) -> None:
    """Draw a bar for each system, a panel for each parallelism; red: wrong counts, grey: none to check."""
    degrees = sorted({row["parallelism"] for row in rows})
    with panels(file, 1, len(degrees), (4.5 * len(degrees), 3.2), sharex=True) as drawn:
        for panel, degree in zip(drawn[0], degrees, strict=True):
            chosen = [row for row in rows if row["parallelism"] == degree][::-1]
            bars = panel.barh(
                [row["system"] for row in chosen],
                [row["clicks_per_s"] for row in chosen],
                color=[_COLOURS[row["correct"]] for row in chosen],
            )
            panel.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
            panel.set_title(f"parallelism {degree}, clicks/s", fontsize=10)
            panel.set_xticks([])
            panel.margins(x=0.2)
