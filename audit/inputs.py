"""What a reconciliation is given as files, brought into the form that its job reads."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from audit.proof import Expected
from ingest.producer import read_lines
from local.archiving import OFFSETS
from local.processes import LocalError

LINES = 100_000

_COUNTS = {"window_start": pl.Int64, "ad_id": pl.String, "clicks": pl.Int64}


def write_counts(csv: Path | None, directory: Path) -> str:
    """Bring a file `window_start,ad_id,clicks`, or no counts, into Parquet; return the directory's URL.

    An ad that has several counts in a window has their sum, as whoever reads the file would have it.
    """
    counts = pl.DataFrame(schema=_COUNTS) if csv is None else _read_counts(csv)
    sums = counts.group_by("window_start", "ad_id").agg(pl.col("clicks").sum())
    directory.mkdir()
    sums.select("ad_id", "window_start", "clicks", version=pl.lit(0, pl.Int64)).write_parquet(directory / "counts")
    return directory.as_uri()


def write_late(lines: Path | None, directory: Path) -> str:
    """Bring late clicks, one on each line, into Parquet; return the directory's URL."""
    directory.mkdir()
    pl.DataFrame(schema={"value": pl.Binary}).write_parquet(directory / "none")
    values = _lines(lines) if lines else iter(())
    for number, batch in enumerate(iter(lambda: list(islice(values, LINES)), [])):
        pl.DataFrame({"value": batch}, {"value": pl.Binary}).write_parquet(directory / f"{number}")
    return directory.as_uri()


def expected_offsets(archive: Path) -> Expected:
    """Return the offsets that must be in an archive, from the file beside it; nothing where there is none."""
    file = archive / OFFSETS
    if not file.exists():
        return {}
    ends = json.loads(file.read_text(encoding="ascii"))
    return {
        (topic, int(partition)): (0, end) for topic, partitions in ends.items() for partition, end in partitions.items()
    }


def _read_counts(csv: Path) -> pl.DataFrame:
    try:
        counts = pl.read_csv(csv, schema=_COUNTS).with_columns(pl.col("ad_id").fill_null(""))
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise LocalError(f"{csv} is no table window_start,ad_id,clicks: {reason}.") from error
    if sum(counts.null_count().row(0)):
        raise LocalError(f"{csv} is no table window_start,ad_id,clicks: a number is missing.")
    return counts


def _lines(path: Path) -> Iterator[bytes]:
    try:
        yield from read_lines(path)
    except OSError as error:
        raise LocalError(f"Cannot read {path}: {error.strerror}.") from error
