from functools import partial

import pytest

from bench.meter import Meter, Sample
from bench.on_processes import told_records
from bench.peers.identity import identity
from bench.peers.workers import Progress
from bench.results import compared
from bench.run import Run

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


def test_a_run_that_failed_at_once_has_no_rate():
    run = Run.of(Meter(), clicks=100_000, wall=0.3, exact=None, finished=False)
    assert (run.clicks_per_s, run.cpu_s_per_million) == (0, 0)


def test_a_run_that_failed_has_the_rate_of_what_it_read():
    meter = Meter([Sample(time=1.0, records=5_000, cpu=2.0, python=0)])
    assert Run.of(meter, clicks=100_000, wall=10.0, exact=None, finished=False).clicks_per_s == 500
    assert Run.of(meter, clicks=100_000, wall=10.0, exact=True, finished=True).clicks_per_s == 10_000


def test_a_job_that_was_restarted_has_the_rate_of_its_whole_run():
    samples = [Sample(time=t, records=r, cpu=t, python=0) for t, r in ((1.0, 50), (2.0, 100), (3.0, 10), (4.0, 60))]
    run = partial(Run.of, Meter(samples), clicks=100, wall=5.0, exact=True, finished=True)
    assert run(restarted=True).clicks_per_s == 20
    assert run(restarted=False).clicks_per_s != 20


def test_nothing_is_compared_with_a_system_that_has_no_rate():
    row = {"parallelism": 1, "clicks_per_s": 10, "cpu_s_per_million": 2.5, "wall_s": 9.0, "rounds": [10]}
    row |= {"correct": True, "finished": True}
    failed = row | {"clicks_per_s": 0, "correct": None, "finished": False, "rounds": [0]}
    rows = [row | {"system": "clickproof"}, failed | {"system": "spark"}]
    assert [ratio for _, _, _, ratio, *_ in compared(rows)] == ["1.00 x", ""]
