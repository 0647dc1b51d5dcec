"""Counted identities as a table of numbers that compiled code looks up and fills.

Open addressing with linear probing (Knuth, The Art of Computer Programming 3, section 6.4): an identity's row is the
first free one, or its own, from the place on that its hash gives. The hash is multiplied by a secret odd number of the
table (Dietzfelbinger et al. 1997, multiply-shift), so that nobody can make identities that all begin at one place.
"""

import secrets

import numpy as np
import numpy.typing as npt

from udfs.clicks import IDENTITY_BYTES
from udfs.compiled import Bytes, Numbers, compiled, kept

Mask = npt.NDArray[np.bool_]

_START = 2  # the column of a row that has the window's start; before it are the identity's halves
_FREE = -(2**63)
_ANY, _NONE = 2**62, -1
"""Horizons: every window lies within the first, no window within the second."""
_FEWEST_ROWS = 64
_FULLEST = 0.75  # of a table's rows, so many are taken at most
_ROOMY = 0.5  # and so many after it was made anew


def halves(identities: bytes | Bytes) -> Numbers:
    """Return identities that follow each other as rows of two numbers, which `tobytes()` makes the same bytes of."""
    return np.frombuffer(identities, np.int64).reshape(-1, IDENTITY_BYTES // 8).copy()


def secret_spread() -> int:
    """Return the secret odd number that a table's hashes are multiplied by."""
    return secrets.randbits(63) | 1


class IdentityTable:
    """Identities, each with the start of the window it was counted in; of one identity there may be several windows.

    Identities are passed as rows of their `halves`; a row of the table takes 24 bytes.
    """

    def __init__(self) -> None:
        self._spread = secret_spread()
        self._rows = _free_rows(_FEWEST_ROWS)
        self._taken = 0

    def __len__(self) -> int:
        return self._taken

    def count(self, start: int, horizon: int, identities: Numbers) -> Mask:
        """Take up the identities that are not there in a window that starts within the horizon; returns which were new.

        Of equal ones the first is the new one.
        """
        if self._taken + len(identities) > _FULLEST * len(self._rows):
            self._remake(self._taken + len(identities), _FREE)
        new = np.zeros(len(identities), np.bool_)
        self._taken += _count(self._rows, self._spread, start, horizon, identities, new)
        return new

    def holds(self, start: int, horizon: int, identities: Numbers) -> Mask:
        """Return which of the identities are there in a window that starts within the horizon."""
        held = np.zeros(len(identities), np.bool_)
        _look_up(self._rows, self._spread, start, horizon, identities, held)
        return held

    def move(self, start: int, identities: Numbers) -> None:
        """Put those of the identities that are there into another window."""
        _move(self._rows, self._spread, start, identities)

    def forget(self, start: int) -> int:
        """Remove the identities of a window; returns how many there were."""
        before = self._taken
        self._remake(before, start)
        return before - self._taken

    def _remake(self, expected: int, without: int) -> None:
        """Make the table anew, with room for so many identities, and without one window."""
        rows = _free_rows(max(_FEWEST_ROWS, int(expected / _ROOMY)))
        self._taken = _copy(self._rows, rows, self._spread, without)
        self._rows = rows


def compile_now() -> None:
    """Compile what is used here, so that it is kept before a job needs it."""
    table, identities = IdentityTable(), halves(bytes(IDENTITY_BYTES))
    table.count(0, 0, identities)
    table.move(1, identities)
    table.holds(1, 0, identities)
    table.forget(1)


def _free_rows(number: int) -> Numbers:
    return np.full((number, _START + 1), _FREE, np.int64)


@compiled
def place_of(second: int, spread: int, rows: int) -> int:
    """Return where the search for an identity begins, by its second half: in which of so many rows."""
    return int(((second * spread >> 32) & 0xFFFFFFFF) * rows >> 32)


@compiled
def _place(rows: Numbers, spread: int, first: int, second: int, start: int, horizon: int) -> int:
    """Return the row of an identity that was counted within the horizon, or the free row where it belongs."""
    row = place_of(second, spread, len(rows))
    while rows[row, _START] != _FREE and not (
        rows[row, 0] == first and rows[row, 1] == second and abs(rows[row, _START] - start) <= horizon
    ):
        row += 1
        if row == len(rows):
            row = 0
    return int(row)


@kept
def _count(rows: Numbers, spread: int, start: int, horizon: int, identities: Numbers, new: Mask) -> int:
    counted = 0
    for click in range(len(identities)):
        first, second = identities[click, 0], identities[click, 1]
        row = _place(rows, spread, first, second, start, horizon)
        if rows[row, _START] == _FREE:
            rows[row, 0], rows[row, 1], rows[row, _START] = first, second, start
            new[click] = True
            counted += 1
    return counted


@kept
def _look_up(rows: Numbers, spread: int, start: int, horizon: int, identities: Numbers, held: Mask) -> None:
    for click in range(len(identities)):
        row = _place(rows, spread, identities[click, 0], identities[click, 1], start, horizon)
        held[click] = rows[row, _START] != _FREE


@kept
def _move(rows: Numbers, spread: int, start: int, identities: Numbers) -> None:
    for click in range(len(identities)):
        row = _place(rows, spread, identities[click, 0], identities[click, 1], start, _ANY)
        if rows[row, _START] != _FREE:
            rows[row, _START] = start


@kept
def _copy(old: Numbers, rows: Numbers, spread: int, without: int) -> int:
    """Copy the taken rows but those of one window; return how many."""
    copied = 0
    for row in range(len(old)):
        if old[row, _START] != _FREE and old[row, _START] != without:
            free = _place(rows, spread, old[row, 0], old[row, 1], 0, _NONE)
            for column in range(_START + 1):
                rows[free, column] = old[row, column]
            copied += 1
    return copied
