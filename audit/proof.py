"""Whether an archive is complete: every offset that must be there is, and names one record."""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from jobs.files import RESULTS

Partition = tuple[str, int]
Expected = Mapping[Partition, tuple[int, int]]
"""By topic and partition the first offset that must be there, and the one after the last."""


class Gap(NamedTuple):
    """Offsets that are missing, the first and the last; `twofold`: some of them name two records instead.

    A topic that was deleted and made anew gives its offsets again.
    """

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    twofold: bool = False

    def __str__(self) -> str:
        where = f"{self.topic} partition {self.partition}, offsets {self.first_offset} to {self.last_offset}"
        return f"{where}, some with two records" if self.twofold else where


def gaps(coverage: pl.DataFrame, between: pl.DataFrame, expected: Expected) -> list[Gap]:
    """Return what is missing, between the offsets that are there and before and after them, or names two records.

    `coverage` and `between` are the results coverage and gaps of the reconciliation's job (`jobs.files.RESULTS`).
    """
    covered = {(row["topic"], row["partition"]): row for row in coverage.iter_rows(named=True)}
    found = [Gap(*row) for row in between.select(*RESULTS["gaps"]).iter_rows()]
    found += [
        Gap(topic, partition, row["first_twofold"], row["last_twofold"], twofold=True)
        for (topic, partition), row in covered.items()
        if row["first_twofold"] is not None
    ]
    for (topic, partition), (first, end) in expected.items():
        if first >= end:
            continue
        here = covered.get((topic, partition))
        if here is None:
            found.append(Gap(topic, partition, first, end - 1))
            continue
        if here["first_offset"] > first:
            found.append(Gap(topic, partition, first, here["first_offset"] - 1))
        if here["last_offset"] < end - 1:
            found.append(Gap(topic, partition, here["last_offset"] + 1, end - 1))
    return sorted(found)


def late_missing(booked: Mapping[int, int], sent: Mapping[int, int]) -> dict[int, int]:
    """Return by window how many late clicks the ledger has booked beyond those in their topic."""
    missing = {start: late - sent.get(start, 0) for start, late in sorted(booked.items())}
    return {start: number for start, number in missing.items() if number > 0}
