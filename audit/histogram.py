"""Percentiles of any number of durations, in bounded memory."""

from collections import Counter
from itertools import accumulate

import numpy as np
import polars as pl
from numpy.typing import NDArray

SIGNIFICANT_BITS = 17
Durations = NDArray[np.int64]
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


class Histogram:
    """How often each duration occurs: exact below 2^17 ms (131 s), cut to 17 significant bits (0.001 %) beyond."""

    def __init__(self) -> None:
        self._times: Counter[int] = Counter()
        self._longest: int | None = None

    def add(self, milliseconds: pl.Series) -> None:
        """Add durations (Int64, without nulls)."""
        if milliseconds.is_empty():
            return
        durations, times = np.unique(_cut(milliseconds.to_numpy()), return_counts=True)
        self._times.update(dict(zip(durations.tolist(), times.tolist(), strict=True)))
        longest = int(milliseconds.to_numpy().max())
        self._longest = longest if self._longest is None else max(self._longest, longest)

    def percentiles(self) -> dict[str, int | None]:
        """Return the nearest-rank percentiles and the exact maximum, in milliseconds; None without durations."""
        if self._longest is None:
            return dict.fromkeys([*PERCENTILES, "max"])
        durations = sorted(self._times)
        ranks = list(accumulate(self._times[duration] for duration in durations))
        wanted = [-(-ranks[-1] * int(share * 1000) // 1000) for share in PERCENTILES.values()]
        found = [durations[int(np.searchsorted(ranks, rank))] for rank in wanted]
        return {**dict(zip(PERCENTILES, found, strict=True)), "max": self._longest}


def _cut(durations: Durations) -> Durations:
    _, bits = np.frexp(durations)
    step = 1 << np.maximum(bits - SIGNIFICANT_BITS, 0).astype(np.int64)
    cut: Durations = durations // step * step
    return cut
