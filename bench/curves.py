"""How Clickproof's speed changes with the clicks and the horizon: `make bench-curves`, or `python -m bench.curves`.

Each curve changes one thing and leaves the others as `make bench` has them. Every point is a run over a topic of its
own, held against the recount; rounds go through all points of a curve in turn. Results go to curves.json, a plot beside
it; `make bench-publish NAME=curves` publishes them.
"""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bench.contest import opened
from bench.curve_plot import CurveRow, draw_curves
from bench.on_flink import FlinkSystem, clickproof
from bench.results import RESULTS, verdict, write
from bench.run import Run
from local.console import console, errors
from local.stack import JOB

Settings = dict[str, Any]


@dataclass(frozen=True)
class Curve:
    """What is changed: its values, and what each means for the traffic and for the job's arguments."""

    axis: str
    values: tuple[float, ...]
    traffic: Callable[[float], Settings]
    arguments: Callable[[float], list[str]] = field(default=lambda _: [])


CURVES = {
    # longer than any of the horizons, so that each has something to forget
    "horizon": Curve(
        "dedupe horizon, minutes",
        (1, 10, 60),
        lambda _: {"minutes": 75},
        lambda minutes: ["--dedupe-horizon", f"{minutes} min"],
    ),
    "ads": Curve("ads", (100, 10_000, 200_000, 2_000_000), lambda ads: {"ads": int(ads)}),
    "hot": Curve("share of one ad", (0.1, 0.3, 0.5), lambda share: {"hot": share}),
    "duplicates": Curve("share of duplicates", (0, 0.1, 0.3, 0.6, 0.9), lambda share: {"duplicates": share}),
    "payload": Curve("bytes added to a click", (0, 500, 2_000), lambda size: {"padding": int(size)}),
}


def main(
    curves: Annotated[str, typer.Option(help="Names with commas between them.")] = ",".join(CURVES),
    clicks: Annotated[int, typer.Option(min=100_000, help="In each run.")] = 3_000_000,
    rounds: Annotated[int, typer.Option(min=1)] = 1,
    parallelism: Annotated[int, typer.Option(min=1)] = 2,
    out: Annotated[Path, typer.Option(help="Directory of curves.json and curves.svg.")] = RESULTS,
) -> None:
    """Measure the curves, show them, and write what was measured; curves measured earlier stay."""
    names = curves.split(",")
    if unknown := sorted(set(names) - CURVES.keys()):
        raise typer.BadParameter(f"There is no curve {', '.join(unknown)}: choose from {', '.join(CURVES)}.")
    for name in names:
        rows = measured(name, clicks, rounds, parallelism)
        console.print(_table(rows))
        write(rows := merged(out / "curves.json", rows), out / "curves.json")
    draw_curves(rows, out / "curves.svg")
    raise typer.Exit(0 if all(row["correct"] for row in rows if row["curve"] in names) else 1)


def measured(name: str, clicks: int, rounds: int, parallelism: int) -> list[CurveRow]:
    """Return a row for each value of a curve."""
    curve = CURVES[name]
    runs: dict[float, list[Run]] = {value: [] for value in curve.values}
    for number in range(rounds):
        for value, of_value in runs.items():
            run = _run(curve, value, f"{name}-{number}", clicks, parallelism)
            errors.print(f"{curve.axis} {value:,}: {run.clicks_per_s:,.0f} clicks/s")
            of_value.append(run)
    return [_row(name, value, clicks, parallelism, of_value) for value, of_value in runs.items()]


def _run(curve: Curve, value: float, name: str, clicks: int, parallelism: int) -> Run:
    job = partial(clickproof, more=curve.arguments(value))
    with opened(clicks, **curve.traffic(value)) as (contest, broker, home):
        return FlinkSystem(JOB, job).run(contest, broker, home, name, parallelism)


def _row(name: str, value: float, clicks: int, parallelism: int, runs: list[Run]) -> CurveRow:
    """A row of the results: medians; correct only if every round was."""
    return {
        "curve": name,
        "axis": CURVES[name].axis,
        "value": value,
        "clicks": clicks,
        "parallelism": parallelism,
        "clicks_per_s": round(statistics.median(run.clicks_per_s for run in runs)),
        "cpu_s_per_million": round(statistics.median(run.cpu_s_per_million for run in runs), 1),
        "python_mb": round(max(run.python_bytes for run in runs) / 1e6),
        "correct": all(run.exact for run in runs),
        "finished": all(run.finished for run in runs),
        "rounds": [round(run.clicks_per_s) for run in runs],
    }


def merged(file: Path, rows: list[CurveRow]) -> list[CurveRow]:
    """Return the rows in the file with new ones in the place of those of the same curves."""
    earlier: list[CurveRow] = json.loads(file.read_text(encoding="ascii")) if file.exists() else []
    new = {row["curve"] for row in rows}
    return sorted([row for row in earlier if row["curve"] not in new] + rows, key=lambda row: _place(row["curve"]))


def _place(curve: str) -> int:
    return list(CURVES).index(curve)


def _table(rows: list[CurveRow]) -> Table:
    table = Table(rows[0]["axis"], "clicks/s", "CPU s/million", "Python workers, peak MB", "counts")
    for row in rows:
        cells = f"{row['clicks_per_s']:,}", str(row["cpu_s_per_million"]), f"{row['python_mb']:,}"
        table.add_row(f"{row['value']:,}", *cells, verdict(row["correct"], row["finished"]))
    return table


if __name__ == "__main__":
    typer.run(main)
