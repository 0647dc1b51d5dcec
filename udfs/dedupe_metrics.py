"""What the dedupe tells Flink's metrics: a few sums for each parcel (`udfs.packing`), never a call for each click."""

from collections.abc import Callable, Mapping
from typing import get_args

import polars as pl
from pyflink.metrics import MetricGroup

from udfs.clicks import Reason

OUTCOMES = ("counted", "duplicate", "late", "invalid")


class DedupeMetrics:
    """The metrics of one subtask, in its operator's group.

    - `outcome.clicks`: how many clicks went that way;
    - `reason.invalid`: how many records were invalid for that reason;
    - `parcels`: how many came;
    - the gauges `identities`: how many are held in memory, `slices`: in how many entries of the state all are,
      `slices_read`: how many of these were read back so far; at the last bundle's end.
    """

    def __init__(self, group: MetricGroup, gauges: Mapping[str, Callable[[], int]]) -> None:
        self._parcels = group.counter("parcels")
        self._outcomes = {name: group.add_group("outcome", name).counter("clicks") for name in OUTCOMES}
        self._reasons = {name: group.add_group("reason", name).counter("invalid") for name in get_args(Reason)}
        for name, value in gauges.items():
            group.gauge(name, value)

    def parcel(self) -> None:
        """Note that a parcel came."""
        self._parcels.inc()

    def clicks(self, outcome: str, clicks: int) -> None:
        """Note what became of clicks of a parcel."""
        self._outcomes[outcome].inc(clicks)

    def invalid(self, reasons: pl.Series) -> None:
        """Note a parcel's invalid records, of each the reason."""
        self.clicks("invalid", len(reasons))
        for reason, records in reasons.value_counts().iter_rows():
            self._reasons[reason].inc(records)
