"""The answers: what the store says of ads and windows, each with its verdict.

Every statement takes its values as parameters. How windows stand is read before their counts: a count that comes in
between can only make an answer better than its verdict says.
"""

from collections.abc import Callable
from typing import Any

from serving.models import AdClicks, Reconciliations, TopAds, WindowAnswer, WindowClicks, Windows
from serving.ranking import IN_SPAN, late_could_change_cut, rank_ads
from serving.standing import Standing, newest_reconciliations, read_standing
from serving.store import ON_ONE_THREAD, Store
from serving.windows import MINUTE, Span

# Known without reading a row: of the partition key each part keeps the greatest.
_NEWEST_COUNTED = "SELECT max(window_start) FROM counts HAVING count() > 0"
_OF_AD = f"SELECT window_start, clicks FROM counts FINAL WHERE {IN_SPAN} AND ad_id = {{ad:String}} {ON_ONE_THREAD}"
_LATE_OF_AD = f"""
    SELECT window_start, count() FROM late FINAL WHERE {IN_SPAN} AND ad_id = {{ad:String}} GROUP BY window_start
    {ON_ONE_THREAD}"""
_INVALID = "SELECT reason, count() FROM invalid FINAL WHERE window_start = {start:UInt64} GROUP BY reason"


class Answers:
    """Answers from a store. Raises StoreError, and TooMuchError where a limit is passed."""

    def __init__(self, store: Store, idle_partitions: Callable[[], list[int] | None] = lambda: None) -> None:
        """`idle_partitions`: those of the clicks at this moment, or None when unknown."""
        self._store = store
        self._idle_partitions = idle_partitions

    def last(self, minutes: int) -> Span | None:
        """Return the last minutes that end with the newest window that has counts; None without any."""
        newest = self._store.ask(_NEWEST_COUNTED, {})
        return Span(max(newest[0][0] - (minutes - 1) * MINUTE, 0), newest[0][0] + MINUTE) if newest else None

    def clicks(self, ad_id: str, span: Span | None, width: int = 1) -> AdClicks:
        """Return an ad's clicks in the span, and in windows of `width` minutes that end with each of its minutes."""
        span = span or Span(0, 0)
        widened = Span(max(span.start - (width - 1) * MINUTE, 0), span.end)
        of_ad = {"start": widened.start, "end": widened.end, "ad": ad_id}
        standing = read_standing(self._store, widened)
        counted, known_late = self._store.ask_all((_OF_AD, of_ad), (_LATE_OF_AD, of_ad))
        clicks, late = dict(counted), dict(known_late)
        windows = [
            _window(Span(last - (width - 1) * MINUTE, last + MINUTE), clicks, late, standing) for last in span.windows
        ]
        of_span = {"clicks": _sum(clicks, span), "late": _sum(late, span)}
        return AdClicks(**self._common(span, standing) | of_span, ad_id=ad_id, windows=windows)

    def top(self, n: int, span: Span | None) -> TopAds:
        """Return the n ads with the most clicks in the span."""
        span = span or Span(0, 0)
        standing = read_standing(self._store, span)
        ranking = rank_ads(self._store, span, n)
        judged = standing.judged_until(span.windows)
        changeable = late_could_change_cut(self._store, span, ranking, n, judged)
        return TopAds(**self._common(span, standing), ads=ranking.top(n), late_could_change_cut=changeable)

    def window(self, start: int) -> WindowAnswer:
        """Return all that is known of a window."""
        span = Span(start, start + MINUTE)
        standing = read_standing(self._store, span)
        reasons = dict(self._store.ask(_INVALID, {"start": start}))
        return WindowAnswer(**self._common(span, standing), window=standing.window(start), invalid_reasons=reasons)

    def windows(self, span: Span | None) -> Windows:
        """Return the windows of a span."""
        span = span or Span(0, 0)
        standing = read_standing(self._store, span)
        newest = standing.newest_ranked
        until = None if newest is None else newest + MINUTE
        windows = [standing.window(start) for start in span.windows]
        return Windows(**self._common(span, standing), windows=windows, published_until=until)

    def reconciliations(self, limit: int) -> Reconciliations:
        """Return the newest reconciliations."""
        return Reconciliations(reconciliations=newest_reconciliations(self._store, limit))

    def _common(self, span: Span, standing: Standing) -> dict[str, Any]:
        """What every answer carries."""
        known = bool(span.windows)
        return {
            "start": span.start if known else None,
            "end": span.end if known else None,
            "verdict": standing.weakest(span.windows),
            "late": standing.late(span.windows),
            "unexplained": standing.unexplained(span.windows),
            "idle_partitions": self._idle_partitions(),
        }


def _sum(by_window: dict[int, int], span: Span) -> int:
    return sum(number for start, number in by_window.items() if start >= span.start)


def _window(span: Span, clicks: dict[int, int], late: dict[int, int], standing: Standing) -> WindowClicks:
    """A window of one or more minutes; of minutes before 1970 there are none."""
    minutes = [start for start in span.windows if start >= 0]
    return WindowClicks(
        start=minutes[0],
        end=span.end,
        clicks=sum(clicks.get(start, 0) for start in minutes),
        late=sum(late.get(start, 0) for start in minutes),
        verdict=standing.weakest(minutes),
    )
