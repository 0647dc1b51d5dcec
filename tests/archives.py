"""Archives: small ones, written as the archive job lays them out, and what anybody reads in one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from audit.archive_files import archive_files
from tests.builders import NOON

SCHEMA = {
    "key": pl.Binary,
    "value": pl.Binary,
    "topic": pl.String,
    "partition": pl.Int32,
    "offset": pl.Int64,
    "timestamp": pl.Int64,
}


class Row(NamedTuple):
    """A row of the archive."""

    value: bytes | None
    offset: int
    partition: int = 0
    timestamp: int = NOON
    key: bytes | None = None


def write_archive(directory: Path, rows: list[Row], files: int = 1) -> list[Path]:
    """Deal the rows out to so many files in each hour's folder; return the files."""
    written = []
    for number in range(files):
        for row in rows[number::files]:
            hour = datetime.fromtimestamp(row.timestamp / 1000, UTC).strftime("hour=%Y-%m-%dT%H")
            written.append((directory / hour / f"part-{number}.parquet", row))
    for path in {path for path, _ in written}:
        path.parent.mkdir(parents=True, exist_ok=True)
        own = [(r.key, r.value, "clicks", r.partition, r.offset, r.timestamp) for place, r in written if place == path]
        pl.DataFrame(own, schema=SCHEMA, orient="row").write_parquet(path)
    return sorted({path for path, _ in written})


def archived(directory: Path) -> pl.DataFrame:
    """What anybody reads in the archive's files."""
    files = archive_files(directory)
    return pl.read_parquet(files) if files else pl.DataFrame()
