"""The answers: what the store says of ads and windows, each with its verdict.

Every statement takes its values as parameters. How windows stand is read before their counts: a count that comes in
between can only make an answer better than its verdict says.
"""

from collections.abc import Callable
from typing import Any

from serving.models import AdClicks, RankedAd, Reconciliations, TopAds, WindowAnswer, WindowClicks, Windows
from serving.standing import Standing, newest_reconciliations, read_standing
from serving.store import Store
from serving.windows import MINUTE, Span

_IN_SPAN = "window_start >= {start:UInt64} AND window_start < {end:UInt64}"
_NEWEST_COUNTED = "SELECT window_start FROM counts ORDER BY window_start DESC LIMIT 1"
_AD_CLICKS = f"SELECT window_start, clicks FROM counts FINAL WHERE {_IN_SPAN} AND ad_id = {{ad:String}}"
_AD_LATE = (
    f"SELECT window_start, count() FROM late FINAL WHERE {_IN_SPAN} AND ad_id = {{ad:String}} GROUP BY window_start"
)
_TOP_OF_WINDOW = "SELECT ad_id, clicks FROM counts FINAL WHERE window_start = {start:UInt64} AND clicks > 0"
_TOP_OF_WINDOWS = f"""
    SELECT ad_id, sum(clicks) AS clicks FROM counts FINAL WHERE {_IN_SPAN} GROUP BY ad_id HAVING clicks > 0"""
_INVALID = "SELECT reason, count() FROM invalid FINAL WHERE window_start = {start:UInt64} GROUP BY reason"
# Late clicks that came after the newest reconciliation of their window, if any.
_OPEN_LATE = f"""late FINAL WHERE {_IN_SPAN}
    AND published > transform(window_start, {{judged:Array(UInt64)}}, {{until:Array(UInt64)}}, toUInt64(0))"""
_COULD_PASS = f"""
    SELECT ad_id FROM (
        SELECT ad_id, count() AS more, 0 AS clicks FROM {_OPEN_LATE} GROUP BY ad_id
        UNION ALL SELECT ad_id, 0, clicks FROM counts FINAL
        WHERE {_IN_SPAN} AND ad_id IN (SELECT ad_id FROM {_OPEN_LATE}))
    WHERE ad_id NOT IN {{inside:Array(String)}}
    GROUP BY ad_id HAVING (sum(clicks) + sum(more), {{last_ad:String}}) > ({{last:UInt64}}, ad_id) LIMIT 1"""


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
        standing = read_standing(self._store, widened)
        bounds = {"start": widened.start, "end": widened.end, "ad": ad_id}
        clicks = dict(self._store.ask(_AD_CLICKS, bounds))
        late = dict(self._store.ask(_AD_LATE, bounds))
        windows = [
            _window(Span(last - (width - 1) * MINUTE, last + MINUTE), clicks, late, standing) for last in span.windows
        ]
        of_span = {"clicks": _sum(clicks, span), "late": _sum(late, span)}
        return AdClicks(**self._common(span, standing) | of_span, ad_id=ad_id, windows=windows)

    def top(self, n: int, span: Span | None) -> TopAds:
        """Return the n ads with the most clicks in the span."""
        span = span or Span(0, 0)
        standing = read_standing(self._store, span)
        ranking = _TOP_OF_WINDOW if len(span.windows) == 1 else _TOP_OF_WINDOWS
        bounds = {"start": span.start, "end": span.end, "n": n}
        ads = self._store.ask(f"{ranking} ORDER BY clicks DESC, ad_id LIMIT {{n:UInt32}}", bounds)
        ranked = [RankedAd(rank=rank, ad_id=ad, clicks=clicks) for rank, (ad, clicks) in enumerate(ads, start=1)]
        changeable = self._cut_changeable(n, ranked, span, standing)
        return TopAds(**self._common(span, standing), ads=ranked, late_could_change_cut=changeable)

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

    def _cut_changeable(self, n: int, ranked: list[RankedAd], span: Span, standing: Standing) -> bool:
        """Whether an ad outside the list would be in it, were all of its open late clicks unique and the others' none.

        An ad with late clicks enters a list that is not full, else it must pass the last one there.
        """
        judged = standing.judged_until(span.windows)
        bounds = {"start": span.start, "end": span.end, "judged": [*judged], "until": [*judged.values()]}
        last = (
            {"last": ranked[-1].clicks, "last_ad": ranked[-1].ad_id} if len(ranked) == n else {"last": 0, "last_ad": ""}
        )
        return bool(self._store.ask(_COULD_PASS, bounds | last | {"inside": [ad.ad_id for ad in ranked]}))


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
