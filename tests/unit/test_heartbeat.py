"""The heartbeats' rule, with a clock and a topic of the test's own."""

import logging
from collections.abc import Iterable

import pytest
from kafka.errors import KafkaTimeoutError

from ingest.heartbeat import Heartbeats, keep_beating

NOON = 1_767_268_800_000


class FakeTopic:
    """Two partitions; a click moves a partition's end, as a heartbeat does."""

    def __init__(self) -> None:
        self.ends = {0: 10, 1: 0}
        self.sent: list[tuple[int, int]] = []  # (partition, timestamp)
        self.away = False

    def end_offsets(self) -> dict[int, int]:
        if self.away:
            raise KafkaTimeoutError("away")
        return dict(self.ends)

    def send(self, partitions: Iterable[int], timestamp: int) -> None:
        for partition in partitions:
            self.ends[partition] += 1
            self.sent.append((partition, timestamp))


class FakeClock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def topic() -> FakeTopic:
    return FakeTopic()


@pytest.fixture
def heartbeats(topic: FakeTopic) -> Heartbeats:
    return Heartbeats(topic, FakeClock())


def test_first_look_sends_nothing(heartbeats: Heartbeats, topic: FakeTopic) -> None:
    assert heartbeats.look() == []
    assert topic.sent == []


def test_partition_quiet_for_one_interval_gets_a_heartbeat_of_the_current_time(topic: FakeTopic) -> None:
    clock = FakeClock()
    heartbeats = Heartbeats(topic, clock)
    heartbeats.look()
    topic.ends[0] += 1
    clock.now += 5_000
    heartbeats.look()
    assert topic.sent == [(1, NOON + 5_000)]


def test_quiet_partition_gets_a_heartbeat_every_interval(heartbeats: Heartbeats) -> None:
    assert [heartbeats.look() for _ in range(4)] == [[], [0, 1], [0, 1], [0, 1]]


def test_partition_that_wakes_up_gets_no_further_heartbeats(heartbeats: Heartbeats, topic: FakeTopic) -> None:
    heartbeats.look()
    heartbeats.look()
    topic.ends[0] += 1
    assert heartbeats.look() == [1]


def test_click_between_look_and_heartbeat_is_not_mistaken_for_the_heartbeat(
    heartbeats: Heartbeats, topic: FakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeats.look()
    send = topic.send
    monkeypatch.setattr(topic, "send", lambda partitions, time: (topic.ends.update({0: 11}), send(partitions, time)))
    heartbeats.look()
    monkeypatch.undo()
    assert heartbeats.look() == [1]


def test_partition_added_later_gets_heartbeats_too(heartbeats: Heartbeats, topic: FakeTopic) -> None:
    heartbeats.look()
    topic.ends[2] = 0
    assert 2 not in heartbeats.look()
    assert 2 in heartbeats.look()


def test_after_an_outage_a_whole_quiet_interval_passes_before_a_heartbeat(
    heartbeats: Heartbeats, topic: FakeTopic
) -> None:
    heartbeats.look()
    topic.away = True
    with pytest.raises(KafkaTimeoutError):
        heartbeats.look()
    topic.away = False
    assert [heartbeats.look(), heartbeats.look()] == [[], [0, 1]]


def test_outage_is_logged_once_and_survived(
    heartbeats: Heartbeats, topic: FakeTopic, caplog: pytest.LogCaptureFixture
) -> None:
    away = iter([False, True, True, True, False, False])

    def next_interval() -> bool:
        topic.away = next(away, False)
        return len(topic.sent) > 0

    with caplog.at_level(logging.INFO, "clickproof.heartbeat"):
        keep_beating(heartbeats, next_interval)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_stops_without_a_look_when_told_to(heartbeats: Heartbeats, topic: FakeTopic) -> None:
    topic.away = True
    keep_beating(heartbeats, lambda: True)
    assert topic.sent == []
