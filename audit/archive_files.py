"""The archive's files: which ones hold a span of time, and their rows, read in batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from jobs.files import HOUR_FORMAT
from local.processes import LocalError

ROWS_AT_ONCE = 250_000
HOUR_FOLDER = "hour="


class RecordSpan(NamedTuple):
    """A span of record timestamps in epoch milliseconds: from `first`, up to and without `end`; None is open."""

    first: int | None = None
    end: int | None = None

    def holds(self, timestamp: int) -> bool:
        """Whether a time lies in the span."""
        return (self.first is None or self.first <= timestamp) and (self.end is None or timestamp < self.end)

    def rows(self) -> pl.Expr:
        """The same for the column `timestamp`."""
        first = pl.lit(True) if self.first is None else pl.col("timestamp") >= self.first
        return first if self.end is None else first & (pl.col("timestamp") < self.end)


EVERYTHING = RecordSpan()


def archive_files(directory: Path, first_hour: datetime | None = None, last_hour: datetime | None = None) -> list[Path]:
    """Return the archive's Parquet files, sorted; of its hour folders those from the first to the last hour (UTC).

    Files that lie flat in the directory may hold any hour. A directory that does not exist has no files. Raises
    LocalError for a folder whose name is no hour.
    """
    files = [file for pattern in ("*.parquet", f"{HOUR_FOLDER}*/*") for file in directory.glob(pattern)]
    first, last = (time.strftime(HOUR_FORMAT) if time else None for time in (first_hour, last_hour))
    return sorted(file for file in files if file.name[0] not in "._" and _within(file.parent, first, last))


def _within(folder: Path, first: str | None, last: str | None) -> bool:
    if not folder.name.startswith(HOUR_FOLDER):
        return True
    hour = folder.name.removeprefix(HOUR_FOLDER)
    try:
        datetime.strptime(hour, HOUR_FORMAT)
    except ValueError as error:
        raise LocalError(f"{folder} is no hour such as {HOUR_FOLDER}2026-11-22T21: move it elsewhere.") from error
    return (first is None or first <= hour) and (last is None or hour <= last)


def archive_rows(files: Sequence[Path], columns: Sequence[str], span: RecordSpan) -> Iterator[pl.DataFrame]:
    """Yield the rows of the span, `ROWS_AT_ONCE` at a time, in the files' order, with these columns.

    Raises LocalError, naming the file, for one that cannot be read.
    """
    for file in files:
        with _named(file):
            rows = pl.scan_parquet(file, hive_partitioning=False).filter(span.rows()).select(columns)
            yield from rows.collect_batches(chunk_size=ROWS_AT_ONCE)


def number_of_rows(files: Sequence[Path]) -> int:
    """Return how many rows the files hold, as their footers say. Raises LocalError as `archive_rows`."""
    rows = 0
    for file in files:
        with _named(file):
            rows += pl.scan_parquet(file).select(pl.len()).collect().item()
    return rows


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Name the file that an error is about."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise LocalError(f"{file} cannot be read as a file of the archive ({reason}): restore it.") from error
