"""The turns of a batch's clicks: what may be parted by window without changing who comes first.

Of an identity the first click that arrives is counted. With an id of its own a click may come back with another time,
so that one batch can have an identity in several windows; then the order of these clicks must outlast the parting.
"""

import numpy as np

from udfs.clicks import IDENTITY_BYTES
from udfs.compiled import Numbers, kept
from udfs.identity_table import halves, place_of, secret_spread

_NO_CLICK = -1


def turns_of(identities: Numbers, window_starts: Numbers) -> Numbers:
    """Return how often each click's identity has changed its window in the batch before: 0 for nearly every click.

    Taken turn by turn, each window's clicks as they came, the clicks of an identity are in the order they came.
    Identities are rows of their `halves`, window starts epoch ms.
    """
    turns = np.zeros(len(identities), np.int64)
    latest = np.full(2 * len(identities) + 1, _NO_CLICK)
    _count_turns(identities, window_starts, secret_spread(), latest, turns)
    return turns


def compile_now() -> None:
    """Compile what is used here, so that it is kept before a job needs it."""
    turns_of(halves(bytes(IDENTITY_BYTES)), np.zeros(1, np.int64))


@kept
def _count_turns(identities: Numbers, window_starts: Numbers, spread: int, latest: Numbers, turns: Numbers) -> None:
    """`latest`: a table by open addressing of each identity's latest click (`udfs.identity_table`)."""
    for click in range(len(identities)):
        first, second = identities[click, 0], identities[click, 1]
        row = place_of(second, spread, len(latest))
        before = latest[row]
        while before != _NO_CLICK and not (identities[before, 0] == first and identities[before, 1] == second):
            row += 1
            if row == len(latest):
                row = 0
            before = latest[row]
        if before != _NO_CLICK:
            turns[click] = turns[before] + (window_starts[before] != window_starts[click])
        latest[row] = click
