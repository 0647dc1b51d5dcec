"""The rows of `make bench`, and what every table of them says."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict

from local.submission import PROJECT

RESULTS = PROJECT / "bench" / "results"
_VERDICTS = {True: "exact", False: "WRONG", None: "–"}


class Row(TypedDict):
    """A row of latest.json: medians over the rounds."""

    system: str
    parallelism: int
    clicks_per_s: int
    cpu_s_per_million: float
    wall_s: float
    correct: bool | None
    finished: bool
    rounds: list[int]


def write(rows: Sequence[Any], file: Path) -> None:
    """Write rows as JSON, in a directory that is made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows, indent=2) + "\n", encoding="ascii")


def verdict(correct: bool | None, finished: bool) -> str:
    """Say whether the counts were right; None where there was none to check."""
    return _VERDICTS[correct] if finished else "not finished"


def compared(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each row.

    Parallelism, system, clicks/s, Clickproof's rate to that, CPU seconds per million, wall seconds, the verdict on the
    counts, the rates of the rounds.
    """
    own = {row["parallelism"]: row["clicks_per_s"] for row in rows if row["system"] == "clickproof"}
    for row in rows:
        reference = own.get(row["parallelism"])
        ratio = f"{reference / row['clicks_per_s']:.2f} x" if reference and row["clicks_per_s"] else ""
        rounds = ", ".join(f"{rate:,}" for rate in row["rounds"])
        rate, cpu, wall = f"{row['clicks_per_s']:,}", str(row["cpu_s_per_million"]), str(row["wall_s"])
        counts = verdict(row["correct"], row["finished"])
        yield str(row["parallelism"]), row["system"], rate, ratio, cpu, wall, counts, rounds
