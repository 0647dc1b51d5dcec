"""The reconciliation: what was published is recounted, explained, corrected and reported."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from audit import inputs
from audit.corrections import Publisher, Reconciled, known, publisher
from audit.differences import explain
from audit.offsets import expired, offsets_between
from audit.proof import Gap, gaps, late_missing
from audit.recounting import Progress, Recount, recount, work_directory
from audit.report import Report, report
from audit.spans import Span
from jobs.files import HOUR_FORMAT
from jobs.reconcile_settings import ReconcileSettings
from jobs.setting_types import milliseconds
from jobs.settings import load
from local.blocklists import blocklist_argument
from local.keeper import kept_alive
from local.published import read_ledger
from local.stack import TOPICS, Stack


@dataclass(frozen=True)
class Reconciliation:
    """A report, and the counts of each place that it is about (`audit.differences.explain`)."""

    report: Report
    places: pl.DataFrame


@dataclass(frozen=True)
class Records:
    """Where the records of the clicks are: in the archive at a URL, or in the topic.

    `until`: those with timestamps before it (epoch ms) must be in the archive; younger ones may be on their way.
    `blocklist`: which of them are not counted.
    """

    source: Literal["archive", "kafka"]
    archive: str
    until: int
    blocklist: Path | None = None

    def arguments(self, span: Span) -> list[str]:
        """Return the job's arguments for the records that can matter to the span."""
        hour = datetime.fromtimestamp(read_since(span) / 1000, UTC).strftime(HOUR_FORMAT)
        source = ["--source", self.source, "--archive", self.archive, "--archive-since", hour]
        return [*source, *blocklist_argument(self.blocklist)]


def reconcile_files(
    archive: Path, counts: Path, late: Path, stack: Stack, on_progress: Progress, blocklist: Path | None = None
) -> Reconciliation:
    """Reconcile the files that a replay writes: all windows, every record of the archive but what is blocked."""
    with _working(stack) as work:
        arguments = [
            *("--archive", archive.absolute().as_uri()),
            *("--counts-file", inputs.write_counts(counts, work / "counts")),
            *("--late-file", inputs.write_late(late, work / "late")),
            *blocklist_argument(blocklist),
        ]
        found = recount(stack, arguments, work, on_progress)
    missing = gaps(found.coverage, found.gaps, inputs.expected_offsets(archive))
    return _reconciled(Span.all(), found, missing)


def reconcile_span(
    span: Span, records: Records, stack: Stack, on_progress: Progress, publish: bool = False
) -> Reconciliation:
    """Reconcile the published counts of a span with its records, and publish the corrections if told to."""
    if not publish:
        return _compare(span, records, stack, on_progress)
    deployment, window = load([]).deployment, milliseconds(load([]).window)
    with publisher(connection(stack), deployment, TOPICS.counts, window) as corrections:
        found = _compare(span, records, stack, on_progress)
        return found if found.report.gaps else _correct(span, found, corrections, stack)


def backfill(span: Span, records: Records, stack: Stack, on_progress: Progress) -> Reconciliation:
    """Derive the counts of a span from its records alone, whatever was published."""
    with _working(stack) as work:
        nothing = [
            *("--counts-file", inputs.write_counts(None, work / "counts")),
            *("--late-file", inputs.write_late(None, work / "late")),
        ]
        found = recount(stack, [*records.arguments(span), *_bounds(span), *nothing], work, on_progress)
    return _reconciled(span, found, _missing(span, records, found, stack))


def connection(stack: Stack) -> dict[str, Any]:
    """How Kafka clients reach the stack's topics."""
    return stack.broker.connection


def read_since(span: Span) -> int:
    """The earliest record timestamp that matters to a span, epoch ms."""
    return ReconcileSettings(span_from=span.start, span_to=span.end, results="file:/").read_since


def _compare(span: Span, records: Records, stack: Stack, on_progress: Progress) -> Reconciliation:
    with _working(stack) as work:
        found = recount(stack, [*records.arguments(span), *_bounds(span)], work, on_progress)
    return _reconciled(span, found, _missing(span, records, found, stack), _late_missing(span, found, stack))


def _reconciled(
    span: Span, found: Recount, missing: list[Gap], late_missing: dict[int, int] | None = None
) -> Reconciliation:
    horizon = milliseconds(load([]).dedupe_horizon)
    places = explain(found.cells, found.spread, range(span.start, span.end), horizon)
    repeats = int(found.coverage["repeats"].sum())
    return Reconciliation(report(str(span), places, missing, repeats, late_missing or {}), places)


def _missing(span: Span, records: Records, found: Recount, stack: Stack) -> list[Gap]:
    """Return the records that are missing or in doubt."""
    if records.source == "kafka":
        return expired(connection(stack), TOPICS.clicks, read_since(span))
    expected = offsets_between(connection(stack), TOPICS.clicks, read_since(span), records.until)
    return gaps(found.coverage, found.gaps, expected)


def _late_missing(span: Span, found: Recount, stack: Stack) -> dict[int, int]:
    ledger = read_ledger(connection(stack), TOPICS.ledger)
    booked = {start: terms["late"] for start, terms in ledger.items() if span.start <= start < span.end}
    return late_missing(booked, dict(found.late.iter_rows()))


def _correct(span: Span, found: Reconciliation, corrections: Publisher, stack: Stack) -> Reconciliation:
    """Publish the counts that are not exact, in a version above all that were read."""
    wrong = found.places.filter(pl.col("published") != pl.col("exact")).sort("window_start", "ad_id")
    if wrong.is_empty() and known(connection(stack), span.start, span.end):
        return found
    version = max(0, *found.places["version"]) + 1
    corrected = found.report.with_corrections(len(wrong))
    corrections.publish(wrong.select("window_start", "ad_id", "exact").rows(), Reconciled.of(span, corrected, version))
    return Reconciliation(corrected, found.places)


def _bounds(span: Span) -> list[str]:
    return ["--span-from", str(span.start), "--span-to", str(span.end)]


@contextmanager
def _working(stack: Stack) -> Iterator[Path]:
    """Keep the stack alive, and yield a directory for the job's inputs and results."""
    work = work_directory(stack)
    try:
        with kept_alive(stack):
            yield work
    finally:
        shutil.rmtree(work)
