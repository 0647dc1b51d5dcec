import json

import pytest

from bench.curves import CURVES, merged
from local.traffic import Traffic


def test_curves_that_were_measured_again_take_the_place_of_the_earlier_ones(tmp_path):
    file = tmp_path / "curves.json"
    earlier = [{"curve": "payload", "value": 0}, {"curve": "ads", "value": 100}, {"curve": "ads", "value": 10_000}]
    file.write_text(json.dumps(earlier))
    rows = merged(file, [{"curve": "ads", "value": 5}])
    assert [(row["curve"], row["value"]) for row in rows] == [("ads", 5), ("payload", 0)]


def test_the_first_curves_need_no_earlier_ones(tmp_path):
    assert merged(tmp_path / "curves.json", [{"curve": "ads"}]) == [{"curve": "ads"}]


@pytest.mark.parametrize("name", CURVES)
def test_every_point_of_a_curve_is_possible_traffic(name):
    curve = CURVES[name]
    changed = {Traffic(1, late=0, invalid=0, future=0, **curve.traffic(value)) for value in curve.values}
    arguments = {tuple(curve.arguments(value)) for value in curve.values}
    assert len(changed) * len(arguments) == len(curve.values)


def test_the_horizon_is_shorter_than_the_traffic_it_is_measured_with():
    assert max(CURVES["horizon"].values) < CURVES["horizon"].traffic(60)["minutes"]
