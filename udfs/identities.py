"""Which identities a bucket has counted: the exact rule of a duplicate.

A click is a duplicate when its identity was already counted in a window that starts within `horizon` of its own. The
rule compares windows, not the clock, so it gives the same answer however far the watermark has come.
"""

from collections.abc import Callable, Iterable

from udfs.compiled import Numbers
from udfs.identity_table import IdentityTable, Mask, halves

_NOT_READ, _READ = 0, 1


class CountedIdentities:
    """The identities counted in each window; `horizon` in milliseconds, a whole number of windows.

    They are held in memory, but for those of windows that were dropped from it: `read` brings back their slices.
    Identities are passed as rows of their `halves`.
    """

    def __init__(self, horizon: int, read: Callable[[int], Iterable[bytes]]) -> None:
        self._horizon = horizon
        self._read = read
        self._table = IdentityTable()
        self.windows: set[int] = set()
        """The starts of the windows whose identities are in memory."""
        self.dropped: set[int] = set()

    @property
    def held(self) -> int:
        """How many are in memory."""
        return len(self._table)

    def count(self, window_start: int, identities: Numbers) -> Mask:
        """Count identities in a window; returns which are new, of equal ones the first: the others are duplicates."""
        if not self.dropped:
            return self._take_up(window_start, self._horizon, identities)
        new = ~self._table.holds(window_start, self._horizon, identities)
        if new.any():
            new &= self._not_found(window_start, identities)
        self.restore(window_start, identities[new])
        return new

    def restore(self, window_start: int, identities: Numbers) -> None:
        """Take up identities that were counted."""
        if window_start not in self.dropped:
            self._take_up(window_start, 0, identities)

    def drop(self, window_start: int) -> None:
        """Hold a window's identities in memory no more: they are read back from now on."""
        self.forget(window_start)
        self.dropped.add(window_start)

    def forget(self, window_start: int) -> None:
        """Forget a window: no click can arrive on time any more that it would make a duplicate."""
        if window_start in self.windows:
            self.windows.remove(window_start)
            self._table.forget(window_start)
        self.dropped.discard(window_start)

    def _take_up(self, window_start: int, horizon: int, identities: Numbers) -> Mask:
        new = self._table.count(window_start, horizon, identities)
        if new.any():
            self.windows.add(window_start)
        return new

    def _not_found(self, window_start: int, identities: Numbers) -> Mask:
        """Return which were counted in no window that is read back, of equal ones the first."""
        batch = IdentityTable()
        first = batch.count(_NOT_READ, 0, identities)
        for start in self.dropped:
            if abs(start - window_start) <= self._horizon:
                for slice_ in self._read(start):
                    batch.move(_READ, halves(slice_))
        return first & ~batch.holds(_READ, 0, identities)
