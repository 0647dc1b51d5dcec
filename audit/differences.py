"""Published counts held against the recounted ones: every difference by its cause.

    exact = published + late - expired_duplicate + unexplained

`late`: unique clicks of which every copy came too late. `expired_duplicate`: copies that the stream counted though the
click counts elsewhere; -1 where the stream counted such a copy instead of the one on time that arrived first.
`unexplained`: a fault, be it loss, a double count, or a count that somebody altered.
"""

from collections import Counter
from collections.abc import Iterator

import polars as pl

from audit.spread import Place, Shares, SpreadClick, shares

CAUSES = ("late", "expired_duplicate", "unexplained")
_PLACE = ["window_start", "ad_id"]
_SHARES = {"window_start": pl.Int64, "ad_id": pl.String} | dict.fromkeys(("exact", "late", "expired"), pl.Int64)


def explain(cells: pl.DataFrame, spread: pl.DataFrame, span: range, horizon: int) -> pl.DataFrame:
    """Return each place of the span with its counts and causes.

    `cells` and `spread` are results of the reconciliation's job (`jobs.files.RESULTS`), `span` the starts of the
    windows in epoch ms, `horizon` the dedupe's in ms. Columns: window_start, ad_id, published, version, exact, and the
    `CAUSES`.
    """
    added = _shares_of(spread_clicks(spread), cells, span, horizon)
    joined = cells.join(added, on=_PLACE, how="full", coalesce=True, suffix="_spread").with_columns(
        pl.col("version").fill_null(-1), pl.exclude(*_PLACE, "version").fill_null(0)
    )
    exact = pl.col("exact") + pl.col("exact_spread")
    missing = exact - pl.col("published")
    late = pl.col("late") + pl.col("late_spread")
    corrected = pl.col("version") > 0
    return joined.select(
        *_PLACE,
        "published",
        "version",
        exact=exact,
        late=pl.when(corrected).then(pl.min_horizontal(late, missing.clip(0))).otherwise(late),
        expired_duplicate=pl.when(corrected).then(0).otherwise(pl.col("expired")),
    ).with_columns(unexplained=pl.col("exact") - pl.col("published") - pl.col("late") + pl.col("expired_duplicate"))


def differing(explained: pl.DataFrame) -> pl.DataFrame:
    """Return the places where something differs or was explained away, in the order of window and ad."""
    causes = pl.any_horizontal(pl.col(name) != 0 for name in CAUSES)
    return explained.filter((pl.col("published") != pl.col("exact")) | causes).sort(_PLACE)


def spread_clicks(spread: pl.DataFrame) -> list[SpreadClick]:
    """Return the clicks in several places, read from the job's rows of identity and place."""
    clicks = []
    for rows in spread.sort("nth").partition_by("high", "low"):
        places = [(start, ad_id) for start, ad_id in rows.select(_PLACE).iter_rows()]
        on_time = [place for place, late in zip(places, rows["late"] >= rows["copies"], strict=True) if not late]
        clicks.append(SpreadClick(tuple(places), tuple(on_time)))
    return clicks


def _shares_of(clicks: list[SpreadClick], cells: pl.DataFrame, span: range, horizon: int) -> pl.DataFrame:
    """Return what the spread clicks add to the places of the span."""
    touched = pl.DataFrame(list({place for click in clicks for place in click.places}), _PLACE_SCHEMA, orient="row")
    streamed = touched.join(cells, on=_PLACE, how="left").fill_null(0)
    expected = Counter(
        {(start, ad): here for start, ad, here in streamed.select(*_PLACE, _STREAMED).iter_rows() if here}
    )
    return pl.DataFrame([*_rows(shares(clicks, expected, horizon), span)], _SHARES, orient="row")


_PLACE_SCHEMA = {name: _SHARES[name] for name in _PLACE}
_STREAMED = pl.col("published") - pl.col("exact") + pl.col("late")
"""What the stream's count has beyond the clicks in one place that were not late."""


def _rows(found: Shares, span: range) -> Iterator[tuple[object, ...]]:
    places: set[Place] = {*found.exact, *found.late, *found.expired_duplicate}
    for place in places:
        if span.start <= place[0] < span.stop:
            yield *place, found.exact[place], found.late[place], found.expired_duplicate[place]
