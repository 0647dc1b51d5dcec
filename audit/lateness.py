"""How late clicks come, and what each out-of-orderness would cost: measured in the archive, changing nothing.

A click is held against the highest event time that came before it in its own partition, in the order of the offsets.
The job's watermark is the minimum over all partitions and moves between batches, so it is never ahead of that, as long
as no partition is idle: the shares of late clicks are upper bounds of the job's.

Memory is bounded: clicks are dealt to disk by ranges of offsets, and then by identity (`audit.spill`).
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from audit.archive_files import RecordSpan, archive_rows, number_of_rows
from audit.event_times import COLUMNS, with_event_times
from audit.histogram import Histogram
from audit.spill import ROWS_OF_BUCKET, Spill, buckets_for
from udfs.clicks import IDENTITY_BYTES

SECOND = 1_000
CANDIDATES = (0, 1, 2, 5, 10, 20, 30, 60, 120, 300)
"""Values of `out_of_orderness` to choose from, in seconds."""

_BEFORE_ALL = -1  # event times are not negative
_IDENTITY = ["high", "low"]


@dataclass(frozen=True)
class JobRules:
    """The job's settings that bear on lateness, in milliseconds."""

    window: int = 60 * SECOND
    dedupe_horizon: int = 600 * SECOND
    max_clock_skew: int = 300 * SECOND


@dataclass(frozen=True)
class Candidate:
    """What a candidate out-of-orderness would bring; it is itself the latency that it adds to every count.

    `late`: clicks; `undercount`: unique clicks without a copy on time, which only reconciliation counts; `state_bytes`:
    the peak of the dedupe state.
    """

    out_of_orderness_ms: int
    late: int
    late_share: float
    undercount: int
    undercount_share: float
    state_bytes: int


@dataclass(frozen=True)
class Lateness:
    """What was measured: the valid clicks (each offset once), how many are unique, milliseconds, the candidates.

    `delay`: record timestamp − click timestamp; `behind`: how far a click came behind the highest event time before it
    in its partition, 0 if it did not.
    """

    clicks: int
    unique: int
    delay_ms: dict[str, int | None]
    behind_ms: dict[str, int | None]
    candidates: list[Candidate]

    def recommended(self, target: float) -> Candidate | None:
        """Return the smallest candidate whose share of late clicks is below the target; None if there is none."""
        return next((candidate for candidate in self.candidates if candidate.late_share < target), None)


def measure(
    files: Sequence[Path],
    span: RecordSpan,
    rules: JobRules,
    on_progress: Callable[[str, int], None] = lambda doing, clicks: None,
) -> Lateness:
    """Measure the archive's clicks whose record timestamp lies in the span.

    At the start of the span a partition's highest event time is unknown: no click is late before one has come.
    `on_progress` hears what is done, and of how many clicks. Raises LocalError for a file that cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="clickproof-lateness-") as name:
        measuring = _Measuring(Path(name), rules, buckets_for(number_of_rows(files)))
        for rows in archive_rows(files, COLUMNS, span):
            measuring.take(rows)
            on_progress("Judging", measuring.rows)
        measuring.order(lambda clicks: on_progress("Ordering", clicks))
        on_progress("Finding the unique clicks", measuring.rows)
        return measuring.result()


@dataclass
class _Measuring:
    """The three steps: judge and deal out by offset; order and hold against the maximum; gather by identity.

    A click's `level` is the number of candidates under which it is late: the first so many.
    """

    directory: Path
    rules: JobRules
    buckets: int
    rows: int = 0
    partitions: dict[int, Spill] = field(default_factory=dict)
    delays: Histogram = field(default_factory=Histogram)
    behind: Histogram = field(default_factory=Histogram)
    levels: Counter[int] = field(default_factory=Counter)  # clicks

    def __post_init__(self) -> None:
        self.identities = Spill(self.directory / "identities")

    def take(self, rows: pl.DataFrame) -> None:
        """Judge a batch, and deal out by offset what has an event time."""
        self.rows += len(rows)
        timed = with_event_times(rows, self.rules.max_clock_skew)
        timed = timed.with_columns(bucket=pl.col("offset") // ROWS_OF_BUCKET)
        for (partition,), part in timed.partition_by("partition", include_key=False, as_dict=True).items():
            if partition not in self.partitions:
                self.partitions[partition] = Spill(self.directory / f"partition-{partition}")
            self.partitions[partition].add(part)

    def order(self, on_clicks: Callable[[int], None]) -> None:
        """Hold each partition's clicks against the highest event time before them."""
        for spill in self.partitions.values():
            highest = _BEFORE_ALL
            for bucket in spill.buckets():
                rows = spill.read(bucket).unique("offset").sort("offset")  # a row the archive repeats counts once
                rows = rows.with_columns(highest=pl.col("event_time").shift(1, fill_value=highest).cum_max())
                self._compare(rows.filter("is_click"))
                highest = max(highest, *rows["event_time"].top_k(1))
                on_clicks(self.levels.total())

    def _compare(self, clicks: pl.DataFrame) -> None:
        time = pl.col("event_time")
        clicks = clicks.select(
            *_IDENTITY,
            delay=pl.col("timestamp") - time,
            behind=pl.max_horizontal(pl.col("highest") - time, 0),
            level=_level(pl.col("highest") - (time - time % self.rules.window + self.rules.window - 1)),
            second=time // SECOND,
        )
        self.delays.add(clicks["delay"])
        self.behind.add(clicks["behind"])
        self.levels.update(dict(clicks["level"].value_counts().iter_rows()))
        unique = clicks.group_by(_IDENTITY).agg(pl.col("level", "second").min())
        self.identities.add(unique.with_columns(bucket=pl.col("high") % self.buckets))

    def result(self) -> Lateness:
        """Gather the copies of each identity, and add up."""
        seconds = pl.DataFrame(schema={"second": pl.Int64, "level": pl.Int32, "clicks": pl.Int64})
        for bucket in self.identities.buckets():
            unique = self.identities.read(bucket).group_by(_IDENTITY).agg(pl.col("level", "second").min())
            counted = unique.group_by("second", "level").agg(clicks=pl.len().cast(pl.Int64))
            seconds = pl.concat([seconds, counted]).group_by("second", "level").agg(pl.col("clicks").sum())
        candidates = [self._candidate(number, seconds.sort("second")) for number in range(len(CANDIDATES))]
        unique_clicks = int(seconds["clicks"].sum())
        delays, behind = self.delays.percentiles(), self.behind.percentiles()
        return Lateness(self.levels.total(), unique_clicks, delays, behind, candidates)

    def _candidate(self, number: int, seconds: pl.DataFrame) -> Candidate:
        """`seconds`: unique clicks by the second of the earliest copy, and the least level of the copies."""
        out_of_orderness = CANDIDATES[number] * SECOND
        late = sum(clicks for level, clicks in self.levels.items() if level > number)
        undercount = int(seconds.filter(pl.col("level") > number)["clicks"].sum())
        held = seconds.filter(pl.col("level") <= number).group_by("second", maintain_order=True).agg(pl.sum("clicks"))
        reach = -(-(self.rules.dedupe_horizon + self.rules.window + out_of_orderness) // SECOND)
        peak = held.select(pl.col("clicks").rolling_sum_by("second", f"{reach}i").max()).item() or 0
        shares = _share(late, self.levels.total()), _share(undercount, int(seconds["clicks"].sum()))
        return Candidate(out_of_orderness, late, shares[0], undercount, shares[1], peak * IDENTITY_BYTES)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _level(overdue: pl.Expr) -> pl.Expr:
    """`overdue`: how far the highest event time is beyond the last millisecond of the click's window."""
    return pl.sum_horizontal((overdue >= seconds * SECOND).cast(pl.Int32) for seconds in CANDIDATES)
