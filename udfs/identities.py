"""Which identities a bucket has counted: the exact rule of a duplicate.

A click is a duplicate when its identity was already counted in a window that starts within `horizon` of its own. The
rule compares windows, not the clock, so it gives the same answer however far the watermark has come.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from udfs.clicks import IDENTITY_BYTES


class CountedIdentities:
    """The identities counted in each window; `horizon` in milliseconds, a whole number of windows.

    They are held in memory, but for those of windows that were dropped from it: `read` brings back their slices.
    """

    def __init__(self, horizon: int, read: Callable[[int], Iterable[bytes]]) -> None:
        self._horizon = horizon
        self._read = read
        self._counted: dict[int, set[bytes]] = {}
        self.dropped: set[int] = set()
        self.held = 0

    @property
    def windows(self) -> Iterable[int]:
        """The starts of the windows whose identities are in memory."""
        return self._counted.keys()

    def count(self, window_start: int, identities: Iterable[bytes]) -> set[bytes]:
        """Count identities in a window; returns the new ones, which are no duplicates."""
        new = set(identities)
        for start, counted in self._counted.items():
            if abs(start - window_start) <= self._horizon:
                new -= new & counted
        if self.dropped and new:
            new -= self._found(window_start, new)
        self.restore(window_start, new)
        return new

    def restore(self, window_start: int, identities: set[bytes]) -> None:
        """Take up identities that were counted."""
        if identities and window_start not in self.dropped:
            counted = self._counted.setdefault(window_start, set())
            self.held -= len(counted)
            counted.update(identities)
            self.held += len(counted)

    def drop(self, window_start: int) -> None:
        """Hold a window's identities in memory no more: they are read back from now on."""
        self.held -= len(self._counted.pop(window_start))
        self.dropped.add(window_start)

    def forget(self, window_start: int) -> None:
        """Forget a window: no click can arrive on time any more that it would make a duplicate."""
        self.held -= len(self._counted.pop(window_start, ()))
        self.dropped.discard(window_start)

    def _found(self, window_start: int, identities: set[bytes]) -> set[bytes]:
        """Return those that were counted in a window that is read back."""
        tails, found = _tails(joined(identities)), set[bytes]()
        likely = np.zeros(2**16, np.bool_)
        likely[tails] = True
        for start in self.dropped:
            if abs(start - window_start) <= self._horizon:
                for slice_ in self._read(start):
                    found |= identities.intersection(_at(slice_, np.flatnonzero(likely[_tails(slice_)])))
        return found


def joined(identities: Iterable[bytes]) -> bytes:
    """Return identities as one slice of bytes."""
    return b"".join(identities)


def split(slice_: bytes) -> Iterator[bytes]:
    """Return the identities of a slice."""
    return _at(slice_, range(len(slice_) // IDENTITY_BYTES))


def _at(slice_: bytes, numbers: Iterable[int]) -> Iterator[bytes]:
    return (slice_[number * IDENTITY_BYTES : (number + 1) * IDENTITY_BYTES] for number in numbers)


def _tails(slice_: bytes) -> npt.NDArray[np.uint16]:
    """The last two bytes of each identity, as a number; the first ones make its bucket."""
    return np.frombuffer(slice_, np.uint16)[IDENTITY_BYTES // 2 - 1 :: IDENTITY_BYTES // 2]
