"""The shape of generated traffic: its settings, which kind each click is of, and how far each lags."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]  # one value per click

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
MINUTE = 60_000
LATE_BY = 3 * MINUTE  # a late click is at least this far behind the stream
DISORDER = 4_000  # an on-time click is at most this far behind it: less than the default out-of-orderness
UNUSUAL_SHARE = 0.002

DUPLICATE, BROKEN, FUTURISTIC, LATE, ORDINARY, ODD = range(6)


@dataclass(frozen=True)
class Traffic:
    """What to generate: `clicks` raw lines over `minutes` of event time from `start` (epoch milliseconds).

    The rates are shares of the raw lines. Late clicks need three minutes of stream before them: a shorter one has
    none. With `hot`, so large a share of the clicks is on one ad. Clicks as a usual client writes them have a field
    of `padding` characters, if any, that nobody reads. Raises ValueError when a setting makes no sense.
    """

    clicks: int
    seed: int = 0
    duplicates: float = 0.10
    late: float = 0.01
    invalid: float = 0.005
    future: float = 0.0005
    ads: int = 10_000
    minutes: int = 10
    start: int = START
    hot: float = 0
    padding: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        if min(self.clicks, self.seed, self.start, self.padding) < 0 or min(self.ads, self.minutes) < 1:
            raise ValueError("clicks, seed, start and padding must not be negative, ads and minutes must be at least 1")
        if not 0 <= self.hot < 1 or (self.hot and self.ads == 1):
            raise ValueError("hot must be from 0 to less than 1, and needs two ads")
        rates = (self.duplicates, self.late, self.invalid, self.future)
        if min(rates) < 0 or sum(rates) > 1:
            raise ValueError("the rates must not be negative, nor their sum above 1")

    @property
    def span(self) -> int:
        """Milliseconds of event time."""
        return self.minutes * MINUTE

    @property
    def users(self) -> int:
        """A power of two, so large that no user clicks twice within twice the disorder: no accidental duplicates."""
        return 1 << max(20, (2 * DISORDER * self.clicks // self.span).bit_length())


def popularity(traffic: Traffic) -> Column:
    """The weights of the ads, each with those before it: Zipf's law, exponent 1; the first one's may be given."""
    weights = 1 / np.arange(1, traffic.ads + 1)
    if traffic.hot:
        weights[0] = weights[1:].sum() * traffic.hot / (1 - traffic.hot)
    return np.cumsum(weights)


def kinds(traffic: Traffic, position: Column, chance: Column) -> Column:
    """The kind of each click; late ones are denser after the third minute, having none before."""
    others = traffic.duplicates + traffic.invalid + traffic.future
    eligible = max(1 - LATE_BY / traffic.span, 0)
    late = min(traffic.late / eligible, 1 - others) if eligible else 0
    edges = np.cumsum([traffic.duplicates, traffic.invalid, traffic.future, late])
    kind = np.searchsorted(edges, chance, side="right")
    kind[(kind == LATE) & (position < LATE_BY)] = ORDINARY
    kind[(kind == ORDINARY) & (chance >= 1 - UNUSUAL_SHARE)] = ODD
    return kind


def lags(kind: Column, position: Column, chance: Column) -> Column:
    """Milliseconds each click is behind the stream; never to before its start."""
    disorder = np.minimum((chance * chance * (DISORDER + 1)).astype(np.int64), position)
    beyond = np.clip(position - LATE_BY, 0, LATE_BY)
    return np.where(kind == LATE, LATE_BY + (chance * beyond).astype(np.int64), disorder)
