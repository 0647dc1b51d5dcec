"""Clickproof beside its peers: `make bench`, or `python -m bench.compare --clicks 4000000 --rounds 3`.

All do the same work on the same topic: parse, dedupe by identity, count per ad and minute of event time with 5 s of
out-of-orderness, checkpoints every 10 s where there are such. Rounds go through all systems in turn, so that a slow
moment of the machine meets each. The rate is that of the steady state: warm-up and end are left out.
"""

import statistics
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench.contest import Contest, opened
from bench.results import RESULTS, Row, compared, write
from bench.run import Run
from bench.run_plot import draw_run
from bench.systems import SYSTEMS
from local.broker import Broker
from local.console import console, errors

Runs = dict[tuple[str, int], list[Run]]


def main(
    clicks: Annotated[int, typer.Option(min=100_000)] = 4_000_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    systems: Annotated[str, typer.Option(help="Names with commas between them.")] = ",".join(SYSTEMS),
    parallelism: Annotated[str, typer.Option(help="Numbers with commas between them.")] = "1,2",
    minutes: Annotated[int, typer.Option(min=1, help="Of event time, over which the clicks are spread.")] = 10,
    seconds: Annotated[
        float, typer.Option(min=0, help="What a run may take; 0: 240 s, and one for each 20,000 clicks.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="Directory of latest.json.")] = RESULTS,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail when counts are wrong, or a run did not finish.")
    ] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Draw latest.svg beside it; needs the group `bench`.")] = False,
) -> None:
    """Run all systems, show medians and ratios, and write latest.json."""
    names, degrees = systems.split(","), [int(number) for number in parallelism.split(",")]
    if unknown := sorted(set(names) - SYSTEMS.keys()):
        raise typer.BadParameter(f"There is no system {', '.join(unknown)}: choose from {', '.join(SYSTEMS)}.")
    runs: Runs = {(name, degree): [] for degree in degrees for name in names}
    with opened(clicks, seconds, minutes=minutes) as (contest, broker, home):
        for number in range(rounds):
            _round(number + 1, runs, contest, broker, home)
    rows = [_row(name, degree, of_system) for (name, degree), of_system in runs.items()]
    write(rows, out / "latest.json")
    console.print(_table(rows))
    if plot:
        draw_run(rows, out / "latest.svg")
    if strict and not all(row["finished"] and row["correct"] is not False for row in rows):
        raise typer.Exit(1)


def _round(number: int, runs: Runs, contest: Contest, broker: Broker, home: Path) -> None:
    for (name, degree), of_system in runs.items():
        run = SYSTEMS[name].run(contest, broker, home, f"bench-{name}-{degree}-{number}", degree)
        of_system.append(run)
        ending = {True: "exact", False: "WRONG", None: "" if run.finished else "not finished"}[run.exact]
        errors.print(f"Round {number}, parallelism {degree}, {name}: {run.clicks_per_s:,.0f} clicks/s {ending}")


def _row(name: str, degree: int, runs: list[Run]) -> Row:
    """A row of the results: medians; correct only if every round was."""
    known = [run.exact for run in runs if run.exact is not None]
    return {
        "system": name,
        "parallelism": degree,
        "clicks_per_s": round(statistics.median(run.clicks_per_s for run in runs)),
        "cpu_s_per_million": round(statistics.median(run.cpu_s_per_million for run in runs), 1),
        "wall_s": round(statistics.median(run.wall for run in runs), 1),
        "correct": all(known) if known else None,
        "finished": all(run.finished for run in runs),
        "rounds": [round(run.clicks_per_s) for run in runs],
    }


def _table(rows: list[Row]) -> Table:
    table = Table("parallelism", "system", "clicks/s", "clickproof is", "CPU s/million", "wall s", "counts", "rounds")
    for cells in compared(rows):
        table.add_row(*cells)
    return table


if __name__ == "__main__":
    typer.run(main)
