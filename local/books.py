"""The books of an independent recount: where each raw click went, and what differs from what was published."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from local.judge import Click

MINUTE = 60_000
TERMS = ("raw", "counted", "duplicate", "late", "invalid")

Cell = tuple[int, str]  # (window's start in epoch milliseconds, ad_id)
CountryCell = tuple[int, str, str]  # (window's start in epoch milliseconds, ad_id, country)


class Books:
    """Every raw click of a run is booked here once; then what was published is held against the books."""

    def __init__(self, out_of_orderness: int, by_country: bool = False) -> None:
        """`out_of_orderness`: milliseconds; `by_country`: the countries of counted clicks are booked too."""
        self.out_of_orderness = out_of_orderness
        self.highest = -1  # event time
        self.ledger: defaultdict[int, Counter[str]] = defaultdict(Counter)  # by the minute's start
        self.counts: Counter[Cell] = Counter()
        self._counted: dict[bytes, Cell] = {}  # by identity
        self._countries: dict[bytes, set[str]] | None = {} if by_country else None  # of all copies on time
        self._late: list[tuple[int, str]] = []  # (window's start, which click)

    def advance(self, timestamp: int | None) -> None:
        """Note an event time, if there is one, that may have moved the watermark."""
        self.highest = max(self.highest, -1 if timestamp is None else timestamp)

    def book_invalid(self, record_timestamp: int) -> None:
        """Book an invalid click, on the minute in which it was produced."""
        self._book(_minute(record_timestamp), "invalid")

    def book_late(self, click: Click, which: str) -> None:
        """Book a click that was reported late; `which` names it in a problem."""
        self._book(_minute(click.timestamp), "late")
        self._late.append((_minute(click.timestamp), which))

    def book_on_time(self, click: Click) -> None:
        """Count the click, or book a duplicate; ValueError when the identity was counted in another window or ad."""
        cell = (_minute(click.timestamp), click.ad_id)
        if self._countries is not None:
            self._countries.setdefault(click.identity, set()).add(click.country)
        if click.identity not in self._counted:
            self._counted[click.identity] = cell
            self.counts[cell] += 1
            self._book(cell[0], "counted")
            return
        if self._counted[click.identity] != cell:
            raise ValueError(f"One identity in {self._counted[click.identity]} and {cell}: that cannot be recounted.")
        self._book(cell[0], "duplicate")

    def _book(self, minute: int, term: str) -> None:
        self.ledger[minute].update(("raw", term))

    def late_problems(self) -> Iterator[str]:
        """Clicks reported late although no watermark can have reached their window's last millisecond."""
        watermark = self.highest - self.out_of_orderness
        for start, which in self._late:
            if start + MINUTE - 1 > watermark:
                yield f"{which} was reported late, but its window {start} cannot have been over."

    def count_problems(self, published: Mapping[Cell, int]) -> Iterator[str]:
        """Counts that are not those of the books."""
        for start, ad_id in sorted(self.counts.keys() | published.keys()):
            expected, found = self.counts[start, ad_id], published.get((start, ad_id), 0)
            if expected != found or (found == 0 and (start, ad_id) in published):
                yield f"Ad {ad_id!r} in window {start}: {found} published, {expected} recounted."

    def country_problems(self, published: Mapping[CountryCell, int]) -> Iterator[str]:
        """Counts by country that do not add up to those of the books, or that no order of arrival can give.

        A click counts for the country of the copy that was read first: which one that was, partitions do not tell.
        """
        sums: Counter[Cell] = Counter()
        for (start, ad_id, _), clicks in published.items():
            sums[start, ad_id] += clicks
        for start, ad_id in sorted(self.counts.keys() | sums.keys()):
            expected, found = self.counts[start, ad_id], sums[start, ad_id]
            if expected != found:
                yield f"Ad {ad_id!r} in window {start}: {found} published by country, {expected} recounted."
        certain, possible = self._country_bounds()
        for start, ad_id, country in sorted(possible.keys() | published.keys()):
            cell, found = (start, ad_id, country), published.get((start, ad_id, country), 0)
            if not certain[cell] <= found <= possible[cell] or (found == 0 and cell in published):
                bounds = f"{certain[cell]} to {possible[cell]}"
                yield f"Ad {ad_id!r} in window {start} and country {country!r}: {found} published, {bounds} recounted."

    def _country_bounds(self) -> tuple[Counter[CountryCell], Counter[CountryCell]]:
        """Of how many clicks every copy, and of how many any copy is from there."""
        certain: Counter[CountryCell] = Counter()
        possible: Counter[CountryCell] = Counter()
        for identity, countries in (self._countries or {}).items():
            cells = [(*self._counted[identity], country) for country in countries]
            possible.update(cells)
            certain.update(cells if len(cells) == 1 else ())
        return certain, possible

    def ledger_problems(self, published: Mapping[int, Mapping[str, int]]) -> Iterator[str]:
        """Minutes whose terms do not balance, or are not those of the books; and the same for their totals."""
        for minute in sorted(self.ledger.keys() | published.keys()):
            yield from _term_problems(f"of minute {minute}", self.ledger[minute], published.get(minute, {}))
        total: Counter[str] = Counter()
        for terms in published.values():
            total.update(terms)
        yield from self.total_problems(total)

    def total_problems(self, published: Mapping[str, int]) -> Iterator[str]:
        """The same for the ledger of the run as a whole."""
        total: Counter[str] = Counter()
        for terms in self.ledger.values():
            total.update(terms)
        yield from _term_problems("of the whole run", total, published)


def _minute(timestamp: int) -> int:
    return timestamp - timestamp % MINUTE


def _term_problems(of_what: str, expected: Mapping[str, int], published: Mapping[str, int]) -> Iterator[str]:
    found = {term: published.get(term, 0) for term in TERMS}
    if found["raw"] != sum(found.values()) - found["raw"]:
        yield f"The ledger {of_what} does not balance: {found}."
    for term in TERMS:
        if found[term] != expected.get(term, 0):
            yield f"The ledger {of_what} has {term} {found[term]}, recounted {expected.get(term, 0)}."
