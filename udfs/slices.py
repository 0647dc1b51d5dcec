"""The identities a bucket has counted, as its keyed state has them: slices of a window, 16 bytes for each identity."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from udfs.clicks import IDENTITY_BYTES

FULL = 65_536 * IDENTITY_BYTES
"""Bytes from which on a slice is left as it is: 1 MiB."""
MOST_SMALL = 32
_SLICES_OF_A_WINDOW = 2**32


class State(Protocol):
    """A map of one key, such as Flink's."""

    def get(self, key: int) -> bytes: ...  # noqa: D102

    def put(self, key: int, value: bytes) -> None: ...  # noqa: D102

    def remove(self, key: int) -> None: ...  # noqa: D102

    def items(self) -> Iterable[tuple[int, bytes]]: ...  # noqa: D102


class Slices:
    """The slices of one bucket, while it is Flink's current key: window start / window * 2^32 + number -> identities.

    `numbers` has, for each window with state, how many slices it has; `read_back` is how many were read so far.
    """

    def __init__(self, state: State, window: int) -> None:
        self._state = state
        self._window = window
        self._merged: dict[int, int] = {}  # slices that each window had when it was last merged
        self.numbers: dict[int, int] = {}
        self.read_back = 0

    def restore(self) -> Iterator[tuple[int, bytes]]:
        """Take up what the state has: every slice with its window's start."""
        for key, slice_ in self._state.items():
            window_start = key // _SLICES_OF_A_WINDOW * self._window
            self.numbers[window_start] = max(self.numbers.get(window_start, 0), key % _SLICES_OF_A_WINDOW + 1)
            yield window_start, slice_

    def append(self, window_start: int, identities: bytes) -> None:
        """Add a slice to a window."""
        number = self.numbers.get(window_start, 0)
        self._state.put(self._key(window_start, number), identities)
        self.numbers[window_start] = number + 1

    def read(self, window_start: int) -> Iterator[bytes]:
        """Read a window's slices back, one at a time."""
        for number in range(self.numbers.get(window_start, 0)):
            self.read_back += 1
            yield self._state.get(self._key(window_start, number))

    def remove(self, window_start: int) -> None:
        """Remove a window's slices."""
        for number in range(self.numbers.pop(window_start)):
            self._state.remove(self._key(window_start, number))
        self._merged.pop(window_start, None)

    def merge(self, windows: Iterable[int]) -> None:
        """Make few slices of many small ones, in that of the windows with the most: a reading costs a call for each.

        One window at a time: what is written waits in memory until the bundle is finished.
        """
        small, window_start = max((self._small(start), start) for start in windows)
        if small > MOST_SMALL:
            self._merge(window_start)

    def _small(self, window_start: int) -> int:
        return self.numbers.get(window_start, 0) - self._merged.get(window_start, 0)

    def _merge(self, window_start: int) -> None:
        merged, rest = 0, bytearray()
        for number, slice_ in enumerate(self.read(window_start)):
            if number == merged and len(slice_) >= FULL:
                merged += 1
                continue
            rest += slice_
            if len(rest) >= FULL:
                self._state.put(self._key(window_start, merged), bytes(rest))
                merged, rest = merged + 1, bytearray()
        if rest:
            self._state.put(self._key(window_start, merged), bytes(rest))
            merged += 1
        for number in range(merged, self.numbers[window_start]):
            self._state.remove(self._key(window_start, number))
        self.numbers[window_start] = self._merged[window_start] = merged

    def __len__(self) -> int:
        """How many slices there are, over all windows."""
        return sum(self.numbers.values())

    def _key(self, window_start: int, number: int) -> int:
        return window_start // self._window * _SLICES_OF_A_WINDOW + number
