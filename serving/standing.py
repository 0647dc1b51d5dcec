"""How each window stands: its total, its ledger, and the verdict that follows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from serving.models import VERDICTS, Reconciliation, Terms, Verdict, Window
from serving.store import ON_ONE_THREAD, Store
from serving.windows import MINUTE, Span
from udfs.ledger import Terms as Ledger

_IN_SPAN = "WHERE window_start >= {start:UInt64} AND window_start < {end:UInt64}"
_WINDOWS = f"""
    SELECT window_start, about, version, clicks, ads, raw, counted, duplicate, late, invalid
    FROM windows FINAL {_IN_SPAN} {ON_ONE_THREAD}"""
_NEWEST_RANKED = "SELECT window_start FROM top ORDER BY window_start DESC LIMIT 1"
_RECONCILIATIONS = """
    SELECT `from`, `to`, version, verdict, windows, corrections, late, expired_duplicate, unexplained, published
    FROM reconciliations FINAL"""
_COVERING = f"""
    {_RECONCILIATIONS} WHERE `from` < {{end:UInt64}} AND `to` > {{start:UInt64}}
    ORDER BY version, published {ON_ONE_THREAD}"""
_NEWEST = f"{_RECONCILIATIONS} ORDER BY version DESC, published DESC LIMIT {{limit:UInt32}}"


class Row(NamedTuple):
    """What is stored of a window, zeros where nothing is; `fresh`: no count has come since they were added up."""

    terms: Ledger = Ledger()
    clicks: int = 0
    ads: int = 0
    ranked: bool = False
    fresh: bool = True


@dataclass(frozen=True)
class Standing:
    """How the windows of a span stand; `newest_ranked`: the start of the newest window that is ranked."""

    rows: dict[int, Row] = field(default_factory=dict)
    newest_ranked: int | None = None
    reconciliations: dict[int, Reconciliation] = field(default_factory=dict)  # the newest that covers the window

    def verdict(self, start: int) -> Verdict:
        """Return a window's verdict.

        It is closed when it is ranked, every raw click is booked once, and the counted ones are those published. A
        window in which nothing was counted is never ranked: it is closed when a later one is.
        """
        if start in self.reconciliations:
            return "reconciled"
        row = self.rows.get(start, Row())
        passed = row.ranked or (
            row.terms.counted == 0 and self.newest_ranked is not None and start < self.newest_ranked
        )
        holds = row.fresh and row.terms.balanced and row.terms.counted == row.clicks
        return "closed" if passed and holds else "provisional"

    def weakest(self, starts: Iterable[int]) -> Verdict:
        """Return the weakest verdict of windows; of none, provisional."""
        return min((self.verdict(start) for start in starts), key=VERDICTS.index, default="provisional")

    def late(self, starts: Iterable[int]) -> int:
        """Return the late clicks that the ledger knows of."""
        return sum(self.rows[start].terms.late for start in starts if start in self.rows)

    def unexplained(self, starts: Iterable[int]) -> int:
        """Return what the reconciliations of these windows could not explain in all of their spans."""
        found = {(each.version, each.start, each.end): each.unexplained for each in self._of(starts)}
        return sum(found.values())

    def judged_until(self, starts: Iterable[int]) -> dict[int, int]:
        """Return when the newest reconciliation of each window that has one was published (epoch ms)."""
        return {start: self.reconciliations[start].published for start in starts if start in self.reconciliations}

    def window(self, start: int) -> Window:
        """Return all of a window."""
        row = self.rows.get(start, Row())
        terms = Terms(**{name: getattr(row.terms, name) for name in Terms.model_fields})
        return Window(
            start=start,
            end=start + MINUTE,
            clicks=row.clicks,
            ads=row.ads,
            ledger=terms,
            balanced=row.terms.balanced,
            verdict=self.verdict(start),
            reconciliation=self.reconciliations.get(start),
        )

    def _of(self, starts: Iterable[int]) -> list[Reconciliation]:
        return [self.reconciliations[start] for start in starts if start in self.reconciliations]


def read_standing(store: Store, span: Span) -> Standing:
    """Read how the windows of a span stand; to be read before the counts it speaks for."""
    bounds = {"start": span.start, "end": span.end}
    windows, covering, newest = store.ask_all((_WINDOWS, bounds), (_COVERING, bounds), (_NEWEST_RANKED, {}))
    return Standing(_rows(windows), newest[0][0] if newest else None, _by_window(map(_reconciliation, covering), span))


def _rows(found: Iterable[tuple[Any, ...]]) -> dict[int, Row]:
    """The rows of the windows of which anything is known."""
    known: defaultdict[int, dict[str, list[int]]] = defaultdict(dict)
    for start, about, *figures in found:
        known[start][about] = figures
    return {start: _row(of_window) for start, of_window in known.items()}


def _row(known: Mapping[str, list[int]]) -> Row:
    """The row of a window: when its newest count came, its sum, its ledger and its ranking, each as far as stored."""
    (summed_at, clicks, ads, *_), terms = known.get("sum", (0, 0, 0)), known.get("ledger", ())[3:]
    fresh = "counts" not in known or summed_at > known["counts"][0]
    return Row(Ledger(*terms), clicks, ads, "ranking" in known, fresh)


def _by_window(found: Iterable[Reconciliation], span: Span) -> dict[int, Reconciliation]:
    """Reconciliations, the newest last, by the windows of the span that they cover whole."""
    covering: dict[int, Reconciliation] = {}
    for each in found:
        first = max(span.start, -(-each.start // MINUTE) * MINUTE)
        covering |= dict.fromkeys(range(first, min(span.end, each.end - MINUTE + 1), MINUTE), each)
    return covering


def newest_reconciliations(store: Store, limit: int) -> list[Reconciliation]:
    """Return the newest reconciliations, the newest first."""
    return [*map(_reconciliation, store.ask(_NEWEST, {"limit": limit}))]


def _reconciliation(row: tuple[Any, ...]) -> Reconciliation:
    return Reconciliation.model_validate(dict(zip(Reconciliation.model_fields, row, strict=True)), by_name=True)
