"""The generated traffic is what its truth file says, by the recount's independent reading of the clicks."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from local.generator import generate
from local.judge import Judgement, judge
from local.odd_clicks import INVALID, UNUSUAL
from local.traffic import LATE_BY, START, Traffic

IN_TEN_YEARS = START + 315_576_000_000
TRAFFIC = Traffic(clicks=60_000, seed=7, late=0.02, invalid=0.03, future=0.002)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generated") / "clicks.jsonl"
    generate(TRAFFIC, out)
    return out


@pytest.fixture(scope="module")
def truth(generated: Path) -> dict[str, Any]:
    truth: dict[str, Any] = json.loads((generated.parent / "clicks.jsonl.truth.json").read_text())
    return truth


@pytest.fixture(scope="module")
def judgements(generated: Path) -> list[Judgement]:
    return [judge(line, IN_TEN_YEARS, 300_000) for line in generated.read_bytes().split(b"\n")[:-1]]


def test_file_has_exactly_the_lines_asked_for(judgements: list[Judgement], truth: dict[str, Any]) -> None:
    assert len(judgements) == truth["raw"] == TRAFFIC.clicks


def test_invalid_clicks_of_every_reason_are_as_the_truth_says(
    judgements: list[Judgement], truth: dict[str, Any]
) -> None:
    reasons = Counter(judgement.reason for judgement in judgements if judgement.reason)
    assert reasons == truth["invalid"]
    assert len(reasons) == 8


def test_unique_clicks_are_as_the_truth_says(judgements: list[Judgement], truth: dict[str, Any]) -> None:
    clicks = [judgement.click for judgement in judgements if judgement.click]
    unique = {click.identity: click.timestamp // 60_000 * 60_000 for click in clicks}
    assert (len(clicks), len(unique)) == (truth["valid"], truth["unique_valid"])
    assert Counter(map(str, unique.values())) == truth["unique_per_window"]


def test_duplicates_agree_in_window_and_ad(judgements: list[Judgement], truth: dict[str, Any]) -> None:
    clicks = [judgement.click for judgement in judgements if judgement.click]
    places = {(click.identity, click.timestamp // 60_000, click.ad_id) for click in clicks}
    assert len(places) == truth["unique_valid"]
    assert len(clicks) - len(places) == truth["duplicates_sent"]


def test_some_duplicates_come_with_another_country(generated: Path) -> None:
    countries: dict[bytes, set[bytes]] = {}
    for line in generated.read_bytes().split(b"\n"):
        click, with_country, country = line.partition(b',"country":"')
        if with_country:
            countries.setdefault(click, set()).add(country)
    assert max(map(len, countries.values())) > 1


def test_new_clicks_are_late_by_three_minutes_or_in_time(judgements: list[Judgement], truth: dict[str, Any]) -> None:
    seen: set[bytes] = set()
    lags = []
    for place, (click, _, _) in enumerate(judgements):
        if click and click.identity not in seen:
            seen.add(click.identity)
            lags.append(START + TRAFFIC.span * place // TRAFFIC.clicks - click.timestamp)
    assert all(0 <= lag <= 4_000 or lag >= LATE_BY for lag in lags)
    assert sum(lag >= LATE_BY for lag in lags) == truth["late_sent"]


def test_duplicates_come_within_about_a_minute(judgements: list[Judgement]) -> None:
    places: dict[bytes, list[int]] = {}
    for place, (click, _, _) in enumerate(judgements):
        if click:
            places.setdefault(click.identity, []).append(place)
    gaps = [later - earlier for group in places.values() for earlier, later in pairwise(group)]
    per_minute = TRAFFIC.clicks / TRAFFIC.minutes
    assert min(gaps) < 10
    assert per_minute * 0.8 < max(gaps) < per_minute * 1.3


def test_rates_are_as_asked(truth: dict[str, Any]) -> None:
    shares = {name: truth[name] / TRAFFIC.clicks for name in ("duplicates_sent", "late_sent")}
    future = truth["invalid"].pop("future_timestamp")
    assert shares["duplicates_sent"] == pytest.approx(TRAFFIC.duplicates, rel=0.1)
    assert shares["late_sent"] == pytest.approx(TRAFFIC.late, rel=0.15)
    assert sum(truth["invalid"].values()) == pytest.approx(TRAFFIC.invalid * TRAFFIC.clicks, rel=0.1)
    assert future == pytest.approx(TRAFFIC.future * TRAFFIC.clicks, rel=0.3)


def test_ads_are_skewed(judgements: list[Judgement]) -> None:
    ads = Counter(judgement.click.ad_id for judgement in judgements if judgement.click)
    assert ads["ad-00001"] > 5 * ads["ad-00010"] > 0


def test_same_arguments_give_the_same_bytes(generated: Path, tmp_path: Path) -> None:
    generate(TRAFFIC, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == generated.read_bytes()


def test_another_seed_gives_other_clicks(tmp_path: Path) -> None:
    for seed in (1, 2):
        generate(Traffic(clicks=100, seed=seed), tmp_path / str(seed))
    assert (tmp_path / "1").read_bytes() != (tmp_path / "2").read_bytes()


@pytest.mark.parametrize(
    "traffic",
    [
        Traffic(clicks=0),
        Traffic(clicks=1),
        Traffic(clicks=500, minutes=3),
        Traffic(clicks=500, duplicates=1, late=0, invalid=0, future=0),
        Traffic(clicks=500, duplicates=0.5, late=0, invalid=0.5, future=0),
        Traffic(clicks=500, duplicates=0, late=1, invalid=0, future=0, ads=1),
    ],
)
def test_extreme_traffic_has_as_many_lines_as_asked(traffic: Traffic, tmp_path: Path) -> None:
    truth = generate(traffic, tmp_path / "clicks")
    content = (tmp_path / "clicks").read_bytes()
    assert content.count(b"\n") == truth["raw"] == traffic.clicks


def test_no_late_clicks_in_a_stream_that_is_too_short(tmp_path: Path) -> None:
    assert generate(Traffic(clicks=1_000, minutes=3, late=0.5), tmp_path / "clicks")["late_sent"] == 0


def test_a_hot_ad_has_the_share_that_was_asked_for(tmp_path: Path) -> None:
    generate(Traffic(clicks=20_000, hot=0.5, invalid=0), tmp_path / "clicks")
    lines = (tmp_path / "clicks").read_bytes().splitlines()
    assert sum(b'"ad-00001"' in line for line in lines) / len(lines) == pytest.approx(0.5, abs=0.02)


def test_padding_makes_a_click_longer_and_nothing_else(tmp_path: Path) -> None:
    for padding in (0, 500):
        generate(Traffic(clicks=1_000, padding=padding), tmp_path / str(padding))
    plain, padded = (
        [judge(line, IN_TEN_YEARS, 300_000) for line in (tmp_path / str(padding)).read_bytes().split(b"\n")[:-1]]
        for padding in (0, 500)
    )
    assert padded == plain
    assert (tmp_path / "500").stat().st_size > (tmp_path / "0").stat().st_size + 490_000


@pytest.mark.parametrize(
    "settings",
    [
        {"clicks": -1},
        {"ads": 0},
        {"minutes": 0},
        {"late": -0.1},
        {"late": 0.5, "invalid": 0.6},
        {"hot": 1},
        {"hot": 0.5, "ads": 1},
        {"padding": -1},
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        Traffic(**({"clicks": 1} | settings))


def test_progress_counts_up_to_all_lines(tmp_path: Path) -> None:
    seen: list[int] = []
    generate(Traffic(clicks=50_000), tmp_path / "clicks", seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 50_000


def test_templates_are_lines() -> None:
    templates = [template for _, template in INVALID] + [template for pair in UNUSUAL for template in pair]
    assert not any(b"\n" in template for template in templates)
