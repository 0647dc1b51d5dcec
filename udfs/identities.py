"""Which identities a bucket has counted: the exact rule of a duplicate.

A click is a duplicate when its identity was already counted in a window that starts within `horizon` of its own. The
rule compares windows, not the clock, so it gives the same answer however far the watermark has come.
"""

from collections.abc import Iterable, Iterator

from udfs.clicks import IDENTITY_BYTES


class CountedIdentities:
    """The identities counted in each window; `horizon` in milliseconds, a whole number of windows."""

    def __init__(self, horizon: int) -> None:
        self._horizon = horizon
        self._counted: dict[int, set[bytes]] = {}

    def count(self, window_start: int, identities: Iterable[bytes]) -> set[bytes]:
        """Count identities in a window; returns the new ones, which are no duplicates."""
        new = set(identities)
        for start, counted in self._counted.items():
            if abs(start - window_start) <= self._horizon:
                new -= new & counted
        if new:
            self._counted.setdefault(window_start, set()).update(new)
        return new

    def restore(self, window_start: int, identities: Iterable[bytes]) -> None:
        """Take up identities that were counted before a restart."""
        self._counted.setdefault(window_start, set()).update(identities)

    def forget(self, window_start: int) -> None:
        """Drop a window: no click can arrive on time any more that it would make a duplicate."""
        self._counted.pop(window_start, None)

    def __len__(self) -> int:
        """How many identities are held, over all windows."""
        return sum(map(len, self._counted.values()))


def joined(identities: Iterable[bytes]) -> bytes:
    """Return identities as one slice of bytes."""
    return b"".join(identities)


def split(slice_: bytes) -> Iterator[bytes]:
    """Return the identities of a slice."""
    return (slice_[at : at + IDENTITY_BYTES] for at in range(0, len(slice_), IDENTITY_BYTES))
