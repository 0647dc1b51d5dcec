"""Rows of numbers on disk, in buckets small enough to be worked at once: what keeps long audits in bounded memory."""

from pathlib import Path

import numpy as np
import polars as pl

ROWS_OF_BUCKET = 2_000_000


def buckets_for(rows: int) -> int:
    """Return into how many buckets rows are to be dealt."""
    return max(1, -(-rows // ROWS_OF_BUCKET))


class Spill:
    """Buckets of rows, each a file of fixed-width records."""

    def __init__(self, directory: Path) -> None:
        """`directory`: made here, and the spill's own."""
        directory.mkdir(parents=True)
        self.directory = directory
        self._records: np.dtype[np.void] | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Append rows (numbers without nulls, always of one schema) to the bucket that their column `bucket` names."""
        for (name,), part in rows.partition_by("bucket", include_key=False, as_dict=True).items():
            records = part.to_numpy(structured=True)
            self._records = records.dtype
            with (self.directory / str(name)).open("ab") as file:
                file.write(records.tobytes())

    def buckets(self) -> list[int]:
        """Return the buckets that have rows, in order."""
        return sorted(int(file.name) for file in self.directory.iterdir())

    def read(self, bucket: int) -> pl.DataFrame:
        """Return a bucket's rows, in the order in which they were added."""
        return pl.DataFrame(np.fromfile(self.directory / str(bucket), dtype=self._records))
