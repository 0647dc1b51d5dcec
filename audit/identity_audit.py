"""How many clicks the synthetic identity may have merged that were not the same: its known weakness, measured.

A click without `click_id` is known by (`click_timestamp`, `user_id`, `ad_id`, `ip`), so two real clicks of one user
in one millisecond count as one. They may betray themselves by other fields. A click's **content** is the set of its
other fields, by name and value; what JSON leaves open (order, spaces, escapes, which of two equal keys) makes no
difference, numbers are compared as they are written, and a `country` that is null is absent. Copies of equal content
are honest duplicates. The estimate is

    falsely merged = for each synthetic identity: number of distinct contents − 1, summed

over the valid clicks of a span. It is no bound: a retry that changes a field (a counter of attempts, say) is taken for
another click, and two clicks that agree in every field are taken for one.

Memory is bounded: contents are dealt to disk as digests, by identity (`audit.spill`).
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from audit.archive_files import RecordSpan, archive_rows, number_of_rows
from audit.click_contents import contents
from audit.spill import Spill, buckets_for
from udfs.batches import judge_batch

_IDENTITY = ["high", "low"]
_ORIGIN = ["partition", "offset"]
_CONTENT = ["country", "others"]
_SHOWN = {"contents": pl.UInt32, "high": pl.UInt64, "low": pl.UInt64, "partition": pl.Int32, "offset": pl.Int64}


class _Totals(NamedTuple):
    """The numbers of an `IdentityAudit`."""

    unique: int = 0
    ambiguous: int = 0
    other_country: int = 0
    other_fields: int = 0
    falsely_merged: int = 0


@dataclass(frozen=True)
class Copy:
    """One of the clicks that share an identity: its origin, its record timestamp (epoch ms) and its value."""

    partition: int
    offset: int
    timestamp: int
    value: str


@dataclass(frozen=True)
class IdentityAudit:
    """Numbers of synthetic identities, the estimate, and examples: the first copy of each content of an identity.

    `unique`: all of them, which is also how many clicks they are counted as at most; `ambiguous`: those of several
    contents; of these `other_country` differ in `country`, `other_fields` in anything else, or in both.
    """

    unique: int
    ambiguous: int
    other_country: int
    other_fields: int
    falsely_merged: int
    examples: list[list[Copy]]

    @property
    def share(self) -> float:
        """Falsely merged clicks as a share of the unique ones."""
        return self.falsely_merged / self.unique if self.unique else 0.0


def audit_identities(
    files: Sequence[Path],
    span: RecordSpan,
    max_clock_skew: int,
    examples: int = 5,
    on_progress: Callable[[str, int], None] = lambda doing, clicks: None,
) -> IdentityAudit:
    """Audit the archive's clicks whose record timestamp lies in the span; `max_clock_skew` in ms.

    `examples`: identities to show at most, those of the most contents first. `on_progress` hears what is done, and of
    how many clicks. Raises LocalError for a file that cannot be read.
    """
    columns, seen = ["value", *_ORIGIN, "timestamp"], 0
    with tempfile.TemporaryDirectory(prefix="clickproof-identities-") as name:
        spill, buckets = Spill(Path(name) / "contents"), buckets_for(number_of_rows(files))
        for rows in archive_rows(files, columns, span):
            spill.add(_digests(rows, max_clock_skew).with_columns(bucket=pl.col("high") % buckets))
            seen += len(rows)
            on_progress("Reading contents", seen)
        on_progress("Comparing", seen)
        totals, shown = _compare(spill, examples)
    on_progress("Looking up examples", seen)
    return IdentityAudit(*totals, _look_up(shown, files, span))


def _digests(rows: pl.DataFrame, max_clock_skew: int) -> pl.DataFrame:
    """The batch's synthetic clicks, the first one of each identity and content.

    Polars' hash is not stable across its versions; these live only as long as this process.
    """
    judged = judge_batch(rows.select("value", "timestamp"), max_clock_skew)
    valid = judged["reason"].is_null()
    clicks = rows.filter(valid).with_columns(judged["identity"].filter(valid))
    clicks = pl.concat([clicks, contents(clicks["value"].cast(pl.String))], how="horizontal").filter("synthetic")
    halves = pl.col("identity").bin.reinterpret(dtype=pl.Array(pl.UInt64, 2))
    digests = clicks.select(
        *_ORIGIN, *(pl.col(name).hash() for name in _CONTENT), high=halves.arr.get(0), low=halves.arr.get(1)
    )
    return _first_of_each_content(digests)


def _first_of_each_content(digests: pl.DataFrame) -> pl.DataFrame:
    return digests.sort(_ORIGIN).unique([*_IDENTITY, *_CONTENT], keep="first", maintain_order=True)


def _compare(spill: Spill, examples: int) -> tuple[_Totals, pl.DataFrame]:
    """Return the audit's totals, and the copies to show, with the number of `contents` of their identity."""
    totals, shown = _Totals(), pl.DataFrame(schema=_SHOWN)
    for bucket in spill.buckets():
        copies = _first_of_each_content(spill.read(bucket))
        identities = copies.group_by(_IDENTITY).agg(pl.len().alias("contents"), pl.col(_CONTENT).n_unique())
        several = identities.filter(pl.col("contents") > 1)
        differ = [several.filter(pl.col(name) > 1).height for name in _CONTENT]
        found = (identities.height, several.height, *differ, int((several["contents"] - 1).sum()))
        totals = _Totals(*(total + more for total, more in zip(totals, found, strict=True)))
        top = several.sort("contents", *_IDENTITY, descending=[True, False, False]).head(examples)
        copies = copies.join(top.select(*_IDENTITY, "contents"), on=_IDENTITY).select(list(_SHOWN))
        shown = _of_most_contents(pl.concat([shown, copies]), examples)
    return totals, shown


def _of_most_contents(copies: pl.DataFrame, examples: int) -> pl.DataFrame:
    """The copies of so many identities, those of the most contents first."""
    order = ["contents", *_IDENTITY]
    identities = copies.select(order).unique().sort(order, descending=[True, False, False]).head(examples)
    return identities.join(copies, on=order, maintain_order="left")


def _look_up(shown: pl.DataFrame, files: Sequence[Path], span: RecordSpan) -> list[list[Copy]]:
    """Read the values of the copies to show."""
    if shown.is_empty():
        return []
    wanted = shown.select(*_ORIGIN)
    rows = archive_rows(files, [*_ORIGIN, "timestamp", "value"], span)
    values = pl.concat(batch.join(wanted, on=_ORIGIN, how="semi") for batch in rows).unique(_ORIGIN)
    found = shown.join(values.with_columns(pl.col("value").cast(pl.String)), on=_ORIGIN, maintain_order="left")
    groups = found.partition_by(_IDENTITY, maintain_order=True)
    return [[Copy(*row) for row in group.select(*_ORIGIN, "timestamp", "value").iter_rows()] for group in groups]
