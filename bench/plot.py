"""Tables and plots of published runs: `python -m bench.plot`, from bench/results into docs/performance.md.

A table and its plot are made from the same rows, so the figures in the text are those of the run. Run it on what
`make bench` left, and, if they were measured, on the curves of `make bench-curves`.
"""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from bench.curve_plot import CurveRow, curve_table, draw_curves
from bench.results import RESULTS, Row, compared
from local.submission import PROJECT

DOCS = PROJECT / "docs"
BEGIN, END = "<!-- a published run: bench.plot -->\n", "<!-- end of the run -->\n"
CURVES_BEGIN, CURVES_END = "<!-- published curves: bench.plot -->\n", "<!-- end of the curves -->\n"
COLOURS = {True: "#2a78d6", False: "#c0392b", None: "#9a9a9a"}


def main(
    results: Annotated[Path, typer.Option(help="File of a run.", exists=True)] = RESULTS / "latest.json",
    docs: Annotated[Path, typer.Option(help="Directory of performance.md.")] = DOCS,
) -> None:
    """Put the tables into performance.md, and the plots beside it."""
    rows: list[Row] = json.loads(results.read_text(encoding="ascii"))
    page = docs / "performance.md"
    page.write_text(with_table(page.read_text(encoding="utf-8"), rows), encoding="utf-8")
    draw(rows, docs / "performance.svg")
    if (measured := results.with_name("curves.json")).exists():
        curves: list[CurveRow] = json.loads(measured.read_text(encoding="ascii"))
        page.write_text(with_curves(page.read_text(encoding="utf-8"), curves), encoding="utf-8")
        draw_curves(curves, docs / "curves.svg")


def with_table(page: str, rows: list[Row]) -> str:
    """Return the page with the run between its two marks. Raises ValueError when it has no such place."""
    return _between(page, BEGIN, END, f"{table(rows)}\n![Clicks per second of each system](performance.svg)\n")


def with_curves(page: str, rows: list[CurveRow]) -> str:
    """Return the page with the curves between their two marks. Raises ValueError when it has no such place."""
    of_runs = f"Runs of {rows[0]['clicks']:,} clicks at parallelism {rows[0]['parallelism']}.\n\n"
    plot = "![Clicks per second, and CPU seconds per million, of each curve](curves.svg)\n"
    return _between(page, CURVES_BEGIN, CURVES_END, f"{of_runs}{curve_table(rows)}\n{plot}")


def _between(page: str, begin: str, end: str, published: str) -> str:
    page, places = re.subn(f"(?s){begin}.*{end}", lambda _: begin + published + end, page)
    if places != 1:
        raise ValueError("performance.md has no place for what is published")
    return page


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown; a ratio is Clickproof's rate to that of the row."""
    lines = [
        "| parallelism | system | clicks/s | Clickproof is | CPU s per million | counts | rounds |",
        "|" + "---|" * 7,
    ]
    for row, ratio, counts, rounds in compared(rows):
        cells = (f"{row['clicks_per_s']:,}", ratio, str(row["cpu_s_per_million"]), counts, rounds)
        lines.append(f"| {row['parallelism']} | {row['system']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(rows: list[Row], file: Path) -> None:
    """Draw a bar for each system, a panel for each parallelism; red: wrong counts, grey: none to check."""
    from matplotlib import pyplot  # of the group `bench`: the table needs it not

    pyplot.switch_backend("svg")
    degrees = sorted({row["parallelism"] for row in rows})
    figure, panels = pyplot.subplots(1, len(degrees), figsize=(4.5 * len(degrees), 3.2), sharex=True, squeeze=False)
    for panel, degree in zip(panels[0], degrees, strict=True):
        chosen = [row for row in rows if row["parallelism"] == degree][::-1]
        bars = panel.barh(
            [row["system"] for row in chosen],
            [row["clicks_per_s"] for row in chosen],
            color=[COLOURS[row["correct"]] for row in chosen],
        )
        panel.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
        panel.set_title(f"parallelism {degree}, clicks/s", fontsize=10)
        panel.set_xticks([])
        panel.margins(x=0.2)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    typer.run(main)
