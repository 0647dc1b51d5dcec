"""The unbounded job on a real broker and cluster: it closes its windows, and survives, without losing a click.

The tests share one job, whose watermark only rises: each has minutes of its own, the later the further down it stands.
After each the recount covers all that was ever sent.
"""

import re
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.heartbeat import KafkaTopic
from ingest.producer import send_lines
from local.deployment import Deployment, deployment
from local.generator import generate
from local.processes import Daemon, LocalError, await_until
from local.published import Published, await_committed, decided_clicks, published_windows, recount_topics
from local.stack import PARTITIONS, Stack
from local.submission import PROJECT
from local.traffic import MINUTE, Traffic
from tests.builders import raw
from tests.patience import PATIENCE
from tests.watching import missing, selectors

pytestmark = pytest.mark.e2e

SETTINGS = ["--checkpoint-interval", "2 s", "--idle-timeout", "6 s"]
ALL = range(PARTITIONS)
ADS = 50
NOW = time.time_ns() // 1_000_000 // MINUTE * MINUTE


@pytest.fixture(scope="module")
def job(stack: Stack) -> Iterator[Deployment]:
    with deployment(stack, "stream", PARTITIONS, SETTINGS) as job:
        stack.cluster.await_running(job.submit())
        yield job


def lines_of(tmp_path: Path, traffic: Traffic) -> list[bytes]:
    generate(traffic, tmp_path / "all.jsonl")
    return (tmp_path / "all.jsonl").read_bytes().split(b"\n")[:-1]


def send(job: Deployment, tmp_path: Path, lines: list[bytes], partitions: range = ALL, rate: int | None = None) -> None:
    file = tmp_path / f"from-{partitions.start}.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    send_lines(file, job.topics.clicks, job.connection, rate, partitions=partitions)


def decided(job: Deployment) -> int:
    """The raw clicks in the ledger."""
    return decided_clicks(job.connection, job.topics.ledger)


def await_decided(job: Deployment, clicks: int) -> None:
    await_until(lambda: decided(job) >= clicks, f"Deciding {clicks} clicks", PATIENCE)


def windows(job: Deployment) -> set[int]:
    return published_windows(job.connection, job.topics.top)


def await_window(job: Deployment, start: int) -> None:
    await_until(lambda: start in windows(job), f"Publishing window {start}", PATIENCE)


def move_on(job: Deployment, to: int) -> None:
    """Send one heartbeat of that time to each partition."""
    KafkaTopic(job.topics.clicks, job.connection).send(ALL, to)


def recounted(job: Deployment) -> Published:
    """The results, which an independent recount found exact."""
    await_committed(job.connection, job.topics)
    published, problems = recount_topics(job.connection, job.topics)
    assert problems == []
    return published


def test_a_partition_without_records_holds_no_window_back_and_makes_no_click_late(
    job: Deployment, tmp_path: Path
) -> None:
    traffic = Traffic(clicks=20_000, minutes=4, start=NOW - 60 * MINUTE, late=0, duplicates=0, ads=ADS)
    lines, busy = lines_of(tmp_path, traffic), range(PARTITIONS - 1)
    send(job, tmp_path, lines[:10_000], busy, rate=1_000)
    await_window(job, traffic.start)
    send(job, tmp_path, lines[10_000:], busy)
    await_window(job, traffic.start + 2 * MINUTE)
    move_on(job, traffic.start + traffic.span + MINUTE)
    await_window(job, traffic.start + 3 * MINUTE)
    assert recounted(job).late == []


def test_a_partition_far_behind_holds_the_windows_back_and_makes_no_click_late(job: Deployment, tmp_path: Path) -> None:
    traffic = Traffic(clicks=20_000, seed=4, minutes=10, start=NOW - 50 * MINUTE, late=0, duplicates=0, ads=ADS)
    lines, before = lines_of(tmp_path, traffic), decided(job)
    behind, ahead = lines[::PARTITIONS], [line for number, line in enumerate(lines) if number % PARTITIONS]
    sending = threading.Thread(target=send, args=(job, tmp_path, behind, ALL[:1], 250))
    sending.start()  # for 20 s, more than three times the idle timeout
    send(job, tmp_path, ahead, ALL[1:])
    sending.join()
    await_decided(job, before + traffic.clicks)
    move_on(job, traffic.start + traffic.span + MINUTE)
    await_window(job, traffic.start + 9 * MINUTE)
    assert recounted(job).late == []


def test_a_job_stopped_in_mid_window_resumes_with_another_parallelism(job: Deployment, tmp_path: Path) -> None:
    traffic = Traffic(clicks=30_000, seed=2, minutes=4, start=NOW - 20 * MINUTE, ads=ADS)
    lines, before = lines_of(tmp_path, traffic), decided(job)
    first, rest = lines[:20_000], lines[20_000:]  # two minutes and forty seconds
    late = [raw(ad_id="ad-late", user_id=f"u-{n}", click_timestamp=traffic.start) for n in range(100)]
    again = first[-500:]
    send(job, tmp_path, first)
    await_decided(job, before + len(first))
    savepoint = job.stack.cluster.stop_with_savepoint(str(job.job_id), tmp_path / "savepoints")
    send(job, tmp_path, [*late, *again, *rest])
    job.settings = [*job.settings, "--parallelism", "3"]
    job.stack.cluster.await_running(job.submit(savepoint))
    await_decided(job, before + len(lines) + len(late) + len(again))
    move_on(job, traffic.start + traffic.span + MINUTE)
    await_window(job, traffic.start + 3 * MINUTE)
    assert {ad_id for _, ad_id in recounted(job).counts} & {"ad-late"} == set()


def test_the_last_window_of_a_silent_topic_is_closed_by_heartbeats(job: Deployment, tmp_path: Path) -> None:
    traffic = Traffic(clicks=5_000, seed=3, minutes=2, start=NOW - 2 * MINUTE, ads=ADS)
    last, before = NOW - MINUTE, decided(job)
    send(job, tmp_path, lines_of(tmp_path, traffic))
    await_decided(job, before + traffic.clicks)
    assert last not in windows(job)
    heartbeat = Daemon("heartbeat", tmp_path / "heartbeat.pid", tmp_path / "heartbeat.log")
    options = ["--bootstrap-servers", job.stack.broker.bootstrap_servers, "--topic", job.topics.clicks]
    heartbeat.start([sys.executable, "-m", "ingest.heartbeat", "--interval", "1", *options], cwd=PROJECT)
    try:
        await_window(job, last)
    finally:
        heartbeat.stop()
    assert recounted(job).terms["raw"] == before + traffic.clicks


def scraped(ports: tuple[int, int]) -> str:
    """What the managers tell Prometheus."""
    answers = [urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) for port in ports]
    return "".join(answer.read().decode() for answer in answers)


def test_every_metric_that_alerts_and_dashboard_name_is_reported(
    job: Deployment, tmp_path: Path, metrics_ports: tuple[int, int]
) -> None:
    ahead = time.time_ns() // 1_000_000 // MINUTE * MINUTE + MINUTE
    on_time, before = raw(click_timestamp=ahead), decided(job)
    send(job, tmp_path, [on_time, on_time])
    await_decided(job, before + 2)
    move_on(job, ahead + 2 * MINUTE)
    await_window(job, ahead)
    send(job, tmp_path, [on_time, b"{}"])  # now the click is late
    await_decided(job, before + 4)
    asked = {(name, labels) for name, labels in selectors() if name.startswith("flink_")}
    assert len(asked) > 10
    await_until(lambda: not missing(scraped(metrics_ports), asked), "Reporting all metrics", PATIENCE)
    assert not re.search("Kafka(Producer|Consumer)", scraped(metrics_ports))  # nobody asks for the clients' own
    recounted(job)


def test_a_bad_setting_stops_the_submission_with_one_sentence_that_names_it(stack: Stack) -> None:
    with deployment(stack, "stream", 1, []) as job:
        job.settings = ["--dedupe-horizon", "30 s"]  # read by the job alone: the topics are made without it
        with pytest.raises(LocalError, match=r"dedupe_horizon: must not be shorter than window") as error:
            job.submit()
    assert "\n" not in str(error.value)
