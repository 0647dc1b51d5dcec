import pytest

from bench.on_processes import told_records
from bench.peers.identity import identity
from bench.peers.workers import Progress

A_CLICK = {"click_timestamp": 1, "user_id": "u", "ad_id": "a", "ip": "10.0.0.1", "country": "FR"}


def test_what_the_processes_of_a_system_have_read_is_added_up(tmp_path):
    first, second = (Progress(tmp_path / f"records-{number}") for number in range(2))
    first.tell(1_000_000)
    second.tell(5)
    first.tell(1_000_001)
    assert told_records(tmp_path) == 1_000_006


def test_a_system_that_has_told_nothing_has_read_nothing(tmp_path):
    assert told_records(tmp_path) == 0
    Progress(tmp_path / "records-0")
    assert told_records(tmp_path) == 0


def test_the_identity_of_a_click_is_its_own_id_whatever_else_differs():
    assert identity(A_CLICK | {"click_id": "7"}) == identity({"click_id": "7"})
    assert identity(A_CLICK | {"click_id": "7"}) != identity(A_CLICK)


@pytest.mark.parametrize("field", ["click_timestamp", "user_id", "ad_id", "ip"])
def test_without_an_own_id_each_of_the_four_fields_tells_clicks_apart(field):
    assert identity(A_CLICK) != identity(A_CLICK | {field: "other"})
    assert identity(A_CLICK) == identity(A_CLICK | {"country": "DE"})
