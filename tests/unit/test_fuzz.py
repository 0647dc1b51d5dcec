"""A column of values that were tampered with is judged as the independent recount judges them, one by one."""

import polars as pl
import pytest

from local.judge import judge
from tests.builders import MINUTE, NOON
from tests.fuzz import fuzzed
from tests.regressions.poison import POISON
from tests.seeds import chosen_seed
from udfs.batches import judge_batch

SKEW = 5 * MINUTE
VALUES, BATCH = 20_000, 1_000

Verdict = tuple[int | None, str | None, str | None]  # (click_timestamp, ad_id, reason)


def of_the_recount(value: bytes) -> Verdict:
    click, reason, _ = judge(value, NOON, SKEW)
    return (click.timestamp, click.ad_id, None) if click else (None, None, reason)


def of_the_job(values: list[bytes]) -> list[Verdict]:
    records = pl.DataFrame({"value": values, "timestamp": [NOON] * len(values)}, schema_overrides={"value": pl.Binary})
    judged = judge_batch(records, SKEW).with_columns(
        pl.when(pl.col("reason").is_null()).then(pl.col(name)).alias(name) for name in ("click_timestamp", "ad_id")
    )
    return judged.select("click_timestamp", "ad_id", "reason").rows()


def test_values_that_were_tampered_with_are_judged_as_the_recount_does() -> None:
    values = list(fuzzed(chosen_seed(), VALUES, NOON))
    for at in range(0, VALUES, BATCH):
        some = values[at : at + BATCH]
        assert list(zip(some, of_the_job(some), strict=True)) == [(each, of_the_recount(each)) for each in some]


@pytest.mark.parametrize("value", POISON, ids=lambda value: repr(value[:20]))
def test_what_once_was_poison_is_judged_as_the_recount_does(value: bytes) -> None:
    assert of_the_job([value]) == [of_the_recount(value)]
