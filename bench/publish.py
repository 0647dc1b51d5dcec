"""Publishes runs: `python -m bench.publish peak` takes up the last `make bench` as the run `peak`, `curves` the curves.

What is published lies in bench/published, and its tables and plots in docs/performance.md are made of it: the figures
in the text are those of the run. Without a name the page is made anew.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.curve_plot import curve_table, draw_curves
from bench.results import RESULTS
from bench.run_plot import draw_run, run_table
from local.submission import PROJECT

DOCS = PROJECT / "docs"
PUBLISHED = PROJECT / "bench" / "published"
CURVES = "curves"


def main(
    name: Annotated[str, typer.Argument(help="Of the run in the page, or `curves`: what was measured last.")] = "",
    results: Annotated[Path, typer.Option(help="Directory of what was measured.")] = RESULTS,
    published: Annotated[Path, typer.Option(help="Directory of what is published.")] = PUBLISHED,
    docs: Annotated[Path, typer.Option(help="Directory of performance.md.")] = DOCS,
) -> None:
    """Take up what was measured last, and make the page's tables and the plots beside it."""
    page = (docs / "performance.md").read_text(encoding="utf-8")
    if name:
        place(page, name)
        shutil.copyfile(results / ("curves.json" if name == CURVES else "latest.json"), published / f"{name}.json")
    for file in sorted(published.glob("*.json")):
        rows = json.loads(file.read_text(encoding="ascii"))
        page = with_published(page, file.stem, rows)
        plot(file.stem, rows, docs)
    (docs / "performance.md").write_text(page, encoding="utf-8")


def with_published(page: str, name: str, rows: list[Any]) -> str:
    """Return the page with what it says of a run in its place. Raises ValueError when it has none."""
    begin, end = place(page, name)
    return f"{page[:begin]}{section(name, rows)}{page[end:]}"


def place(page: str, name: str) -> tuple[int, int]:
    """Return where in the page a run's tables begin and end. Raises ValueError when it has no place for them."""
    places = list(re.finditer(f"(?s)<!-- published: {re.escape(name)} -->\\n(.*?)<!-- end -->\\n", page))
    if len(places) != 1:
        raise ValueError(f"performance.md has no place for {name}")
    return places[0].span(1)


def section(name: str, rows: list[Any]) -> str:
    """Return what the page says of a run: table and plot."""
    if name == CURVES:
        of_runs = f"Runs of {rows[0]['clicks']:,} clicks at parallelism {rows[0]['parallelism']}.\n\n"
        curves = "![Clicks per second, and CPU seconds per million, of each curve](curves.svg)"
        return f"{of_runs}{curve_table(rows)}\n{curves}\n"
    return f"{run_table(rows)}\n![Clicks per second of each system](performance-{name}.svg)\n"


def plot(name: str, rows: list[Any], docs: Path) -> None:
    """Draw the plot of a run."""
    if name == CURVES:
        draw_curves(rows, docs / "curves.svg")
    else:
        draw_run(rows, docs / f"performance-{name}.svg")


if __name__ == "__main__":
    typer.run(main)
