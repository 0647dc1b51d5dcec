"""What the dedupe must say of each click, in plain Python: every identity is kept for ever, and nothing is cached."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tests.builders import MINUTE, NOON

WINDOW = MINUTE
HORIZON = 2 * MINUTE
OUT_OF_ORDERNESS = 20_000
BEFORE_ALL = -(2**63)

Cell = tuple[int, str]  # (window's start, ad)


class Record(NamedTuple):
    """A record of a partition; an `identity` of None makes it invalid."""

    partition: int
    offset: int
    time: int  # epoch ms
    ad: str
    identity: bytes | None

    @property
    def window(self) -> int:
        """The start of the window it is booked on; an invalid one has its record timestamp only, which is noon."""
        return (self.time if self.identity else NOON) // WINDOW * WINDOW


class Term(NamedTuple):
    """One line of the ledger: the minute, and which of the terms."""

    window: int
    what: str


@dataclass(frozen=True)
class Book:
    """What was decided in one bucket, in this order; `watermark` is the highest that ever came to it."""

    watermark: int = BEFORE_ALL
    counted: tuple[tuple[bytes, int], ...] = ()  # (identity, window)
    open: dict[Cell, int] = field(default_factory=dict)
    published: dict[Cell, int] = field(default_factory=dict)
    terms: tuple[Term, ...] = ()
    rejected: frozenset[tuple[int, int]] = frozenset()  # (partition, offset) of the late and the invalid

    def is_over(self, window: int) -> bool:
        """Whether the window was closed for this bucket, whatever died since."""
        return window + WINDOW - 1 <= self.watermark

    def is_duplicate(self, record: Record) -> bool:
        """Whether the identity was counted in a window that starts within the horizon of this one."""
        return any(
            identity == record.identity and abs(window - record.window) <= HORIZON for identity, window in self.counted
        )

    def decide(self, record: Record, late: bool) -> "Book":
        """Book a record; that a click is late is told, since it depends on how its subtask has got on."""
        if record.identity is None or late:
            what = "invalid" if record.identity is None else "late"
            assert (record.partition, record.offset) not in self.rejected, f"{record} is {what} for the second time"
            rejected = self.rejected | {(record.partition, record.offset)}
            return replace(self, terms=(*self.terms, Term(record.window, what)), rejected=rejected)
        assert not self.is_over(record.window), f"{record} is counted in a window that is over"
        if self.is_duplicate(record):
            return replace(self, terms=(*self.terms, Term(record.window, "duplicate")))
        cell = (record.window, record.ad)
        return replace(
            self,
            counted=(*self.counted, (record.identity, record.window)),
            open=self.open | {cell: self.open.get(cell, 0) + 1},
            terms=(*self.terms, Term(record.window, "counted")),
        )

    def advance(self, watermark: int) -> "Book":
        """Publish what is over; a cell that is published for the second time is a fault."""
        book = replace(self, watermark=max(self.watermark, watermark))
        over = {cell: clicks for cell, clicks in self.open.items() if book.is_over(cell[0])}
        assert not over.keys() & self.published.keys(), f"{over} is published for the second time"
        still_open = {cell: clicks for cell, clicks in self.open.items() if cell not in over}
        return replace(book, open=still_open, published=self.published | over)
