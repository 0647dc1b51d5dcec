"""The top ads of a span, and whether late clicks could still change who is in the list."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from serving.models import RankedAd
from serving.store import ON_ONE_THREAD, Store
from serving.windows import Span

SPARE = 100  # ads that are looked at beside twice the list: what is near it needs no second look
IN_SPAN = "window_start >= {start:UInt64} AND window_start < {end:UInt64}"
_IN_ORDER = "ORDER BY clicks DESC, ad_id LIMIT {limit:UInt32}"
# Every row as it was inserted, also those that a later version has replaced: ten times as fast as FINAL.
_ROWS = f"SELECT ad_id, clicks FROM counts WHERE window_start = {{start:UInt64}} {_IN_ORDER}"
_OF_THESE = f"""
    SELECT ad_id, clicks FROM counts FINAL
    WHERE window_start = {{start:UInt64}} AND ad_id IN {{ads:Array(String)}} AND clicks > 0
    ORDER BY clicks DESC, ad_id {ON_ONE_THREAD}"""
_OF_ALL = f"""
    SELECT ad_id, sum(clicks) AS clicks FROM counts FINAL
    WHERE {IN_SPAN} GROUP BY ad_id HAVING clicks > 0 {_IN_ORDER}"""
# Late clicks that came after the newest reconciliation of their window, if any.
_LATE = f"""late FINAL WHERE {IN_SPAN}
    AND published > transform(window_start, {{judged:Array(UInt64)}}, {{until:Array(UInt64)}}, toUInt64(0))"""
# The ads near the list by name, of all the others the one with the most as ''.
_OPEN = f"""
    SELECT ad, max(more) FROM (
        SELECT if(ad_id IN {{near:Array(String)}}, ad_id, '') AS ad, count() AS more
        FROM {_LATE} AND ad_id NOT IN {{inside:Array(String)}} GROUP BY ad_id)
    GROUP BY ad {ON_ONE_THREAD}"""
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


class Ranking(NamedTuple):
    """The ads of a span with the most clicks, in order and more than asked for; any other has `beyond` at most."""

    ads: list[tuple[str, int]]
    beyond: int

    def top(self, n: int) -> list[RankedAd]:
        """Return the list of n."""
        return [RankedAd(rank=rank, ad_id=ad, clicks=clicks) for rank, (ad, clicks) in enumerate(self.ads[:n], start=1)]


def rank_ads(store: Store, span: Span, n: int) -> Ranking:
    """Return the ads of the span, of which the first n are sure; of equal ones the first by name is before."""
    limit = 2 * n + SPARE
    found = _rank_window(store, span.start, n, limit) if len(span.windows) == 1 else None
    if found is None:
        ads = store.ask(_OF_ALL, {"start": span.start, "end": span.end, "limit": limit})
        found = _ranking(ads, ads, limit)
    return found


def _rank_window(store: Store, start: int, n: int, limit: int) -> Ranking | None:
    """The same of one window, by way of its first rows; None when they do not suffice.

    An ad that is in none of these rows has its count further down than the last of them. So they suffice when that is
    not before the last place of the list, which replaced rows among them may leave too far down.
    """
    rows = store.ask(_ROWS, {"start": start, "limit": limit})
    found = store.ask(_OF_THESE, {"start": start, "ads": sorted({ad for ad, _ in rows})})
    if len(rows) < limit or (len(found) >= n and _place(*found[n - 1]) <= _place(*rows[-1])):
        return _ranking(found, rows, limit)
    return None


def _ranking(found: Iterable[tuple[Any, ...]], rows: Sequence[tuple[Any, ...]], limit: int) -> Ranking:
    """Of what was found by way of the first rows; where they are fewer than the limit, there are no others."""
    return Ranking([(ad, clicks) for ad, clicks in found], rows[-1][1] if len(rows) == limit else 0)


def _place(ad_id: str, clicks: int) -> tuple[int, bytes]:
    return -clicks, ad_id.encode()


def late_could_change_cut(store: Store, span: Span, ranking: Ranking, n: int, judged_until: Mapping[int, int]) -> bool:
    """Whether an ad outside the list of n would be in it, were all of its open late clicks unique and the others' none.

    Open are those that were published after `judged_until` of their window (epoch ms). An ad with open late clicks
    enters a list that is not full, else it must pass the last one there.
    """
    last_ad, last = ranking.ads[n - 1] if len(ranking.ads) >= n else ("", 0)
    inside, near = [ad for ad, _ in ranking.ads[:n]], dict(ranking.ads[n:])
    known: dict[str, Any] = {"start": span.start, "end": span.end, "inside": inside}
    known |= {"judged": [*judged_until], "until": [*judged_until.values()]}
    more = dict(store.ask(_OPEN, known | {"near": [*near]}))
    most = more.pop("", 0)
    if any(_place(ad, near[ad] + late) < _place(last_ad, last) for ad, late in more.items()):
        return True
    if not most or ranking.beyond + most < last:
        return False
    enough = max(last - most, 0) // max(len(span.windows), 1)
    return bool(store.ask(_COULD_PASS, known | {"last": last, "last_ad": last_ad, "enough": enough}))
