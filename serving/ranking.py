"""The top ads of a span, and whether late clicks could still change who is in the list."""

from collections.abc import Mapping
from typing import Any

from serving.models import RankedAd
from serving.store import Store
from serving.windows import Span

IN_SPAN = "window_start >= {start:UInt64} AND window_start < {end:UInt64}"
_IN_ORDER = "ORDER BY clicks DESC, ad_id LIMIT {limit:UInt32}"
# Every row as it was inserted, also those that a later version has replaced: ten times as fast as FINAL.
_ROWS = f"SELECT ad_id, clicks FROM counts WHERE window_start = {{start:UInt64}} {_IN_ORDER}"
_OF_THESE = f"""
    SELECT ad_id, clicks FROM counts FINAL
    WHERE window_start = {{start:UInt64}} AND ad_id IN {{ads:Array(String)}} AND clicks > 0 {_IN_ORDER}"""
_OF_ALL = f"""
    SELECT ad_id, sum(clicks) AS clicks FROM counts FINAL
    WHERE {IN_SPAN} GROUP BY ad_id HAVING clicks > 0 {_IN_ORDER}"""
# Late clicks that came after the newest reconciliation of their window, if any.
_LATE = f"""late FINAL WHERE {IN_SPAN}
    AND published > transform(window_start, {{judged:Array(UInt64)}}, {{until:Array(UInt64)}}, toUInt64(0))"""
_MOST_LATE = f"SELECT max(more) FROM (SELECT count() AS more FROM {_LATE} GROUP BY ad_id)"
# Of the ads that are counted, those alone need a closer look that have many clicks in one window at least.
_COULD_PASS = f"""
    SELECT ad_id FROM (
        SELECT ad_id, count() AS more, 0 AS clicks FROM {_LATE} GROUP BY ad_id
        UNION ALL SELECT ad_id, 0, clicks FROM counts FINAL
        WHERE {IN_SPAN} AND ad_id IN (
            SELECT ad_id FROM counts
            WHERE {IN_SPAN} AND clicks >= {{enough:UInt64}} AND ad_id IN (SELECT ad_id FROM {_LATE})))
    WHERE ad_id NOT IN {{inside:Array(String)}}
    GROUP BY ad_id HAVING sum(more) > 0 AND (sum(clicks) + sum(more), {{last_ad:String}}) > ({{last:UInt64}}, ad_id)
    LIMIT 1"""


def top_ads(store: Store, span: Span, n: int) -> list[RankedAd]:
    """Return the n ads with the most clicks in the span; of equal ones the first by name."""
    found = _top_of_window(store, span.start, n) if len(span.windows) == 1 else None
    if found is None:
        found = store.ask(_OF_ALL, {"start": span.start, "end": span.end, "limit": n})
    return [RankedAd(rank=rank, ad_id=ad, clicks=clicks) for rank, (ad, clicks) in enumerate(found, start=1)]


def _top_of_window(store: Store, start: int, n: int) -> list[tuple[str, int]] | None:
    """The same of one window, by way of its first rows; None when they do not suffice.

    An ad that is in none of these rows has its count further down than the last of them. So they suffice when that is
    not before the last place of the list, which replaced rows among them may leave too far down.
    """
    limit = 2 * n + 100
    rows = store.ask(_ROWS, {"start": start, "limit": limit})
    found = store.ask(_OF_THESE, {"start": start, "ads": sorted({ad for ad, _ in rows}), "limit": n})
    if len(rows) < limit or (len(found) == n and _place(*found[-1]) <= _place(*rows[-1])):
        return [(ad, clicks) for ad, clicks in found]
    return None


def _place(ad_id: str, clicks: int) -> tuple[int, bytes]:
    return -clicks, ad_id.encode()


def late_could_change_cut(
    store: Store, span: Span, ranked: list[RankedAd], n: int, judged_until: Mapping[int, int]
) -> bool:
    """Whether an ad outside the list of n would be in it, were all of its open late clicks unique and the others' none.

    Open are those that were published after `judged_until` of their window (epoch ms). An ad with open late clicks
    enters a list that is not full, else it must pass the last one there.
    """
    bounds: dict[str, Any] = {"start": span.start, "end": span.end}
    bounds |= {"judged": [*judged_until], "until": [*judged_until.values()]}
    ((most,),) = store.ask(_MOST_LATE, bounds)
    if not most:
        return False
    last, last_ad = (ranked[-1].clicks, ranked[-1].ad_id) if len(ranked) == n else (0, "")
    enough = max(last - most, 0) // max(len(span.windows), 1)
    inside = {"inside": [ad.ad_id for ad in ranked], "last": last, "last_ad": last_ad, "enough": enough}
    return bool(store.ask(_COULD_PASS, bounds | inside))
