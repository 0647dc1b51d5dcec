"""What goes into Kafka comes out of it, against a real broker."""

import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import UnknownTopicOrPartitionError

from ingest.heartbeat import Heartbeats, KafkaTopic
from ingest.producer import ProduceError, send_lines
from local.generator import generate
from local.stack import Stack
from local.topics import read_topic
from local.traffic import Traffic
from tests.builders import NOON
from udfs.heartbeats import HEARTBEAT_KEY

pytestmark = pytest.mark.e2e
PARTITIONS = 3


@pytest.fixture
def connection(stack: Stack) -> dict[str, Any]:
    return {"bootstrap_servers": stack.broker.bootstrap_servers}


@pytest.fixture
def topic(stack: Stack) -> Iterator[str]:
    name = f"ingest-{uuid.uuid4().hex}"
    stack.broker.create_topics({name: PARTITIONS})
    yield name
    stack.broker.delete_topics([name])


@pytest.fixture
def transactional(connection: dict[str, Any]) -> Iterator[KafkaProducer]:
    producer = KafkaProducer(transactional_id=uuid.uuid4().hex, **connection)
    producer.init_transactions()
    yield producer
    producer.close()


def a_file(tmp_path: Path, lines: list[bytes]) -> Path:
    path = tmp_path / "clicks.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def transact(producer: KafkaProducer, topic: str, values: list[bytes], commit: bool) -> None:
    producer.begin_transaction()
    for value in values:
        producer.send(topic, value, partition=0)
    producer.flush()
    producer.commit_transaction() if commit else producer.abort_transaction()


def test_every_byte_arrives_in_order_and_evenly_spread(topic: str, connection: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "clicks.jsonl"
    generate(Traffic(clicks=50_000, invalid=0.02), path)
    assert send_lines(path, topic, connection) == 50_000
    lines = path.read_bytes().split(b"\n")[:-1]
    arrived: list[list[bytes | None]] = [[] for _ in range(PARTITIONS)]
    for record in read_topic(connection, topic):
        arrived[record.partition].append(record.value)
    assert arrived == [lines[partition::PARTITIONS] for partition in range(PARTITIONS)]


def test_long_and_empty_lines_arrive(topic: str, connection: dict[str, Any], tmp_path: Path) -> None:
    lines = [b"", b"x" * 3_000_000, b"\r", b"", b"y" * 600_000]
    send_lines(a_file(tmp_path, lines), topic, connection, partitions=[1])
    assert [record.value for record in read_topic(connection, topic)] == lines


def test_only_the_given_partitions_get_lines(topic: str, connection: dict[str, Any], tmp_path: Path) -> None:
    send_lines(a_file(tmp_path, [b"a", b"b", b"c"]), topic, connection, partitions=[0, 2])
    placed = [(record.partition, record.value) for record in read_topic(connection, topic)]
    assert sorted(placed) == [(0, b"a"), (0, b"c"), (2, b"b")]


def test_rate_is_kept(topic: str, connection: dict[str, Any], tmp_path: Path) -> None:
    seen: list[int] = []
    send_lines(a_file(tmp_path, [b"x"] * 300), topic, connection, rate=200, on_progress=seen.append)
    records = list(read_topic(connection, topic))
    times = [record.timestamp for record in records]
    assert max(times) - min(times) >= 1_300
    assert seen[-1] == len(records) == 300


def test_missing_partition_is_an_error_before_anything_is_sent(
    topic: str, connection: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ProduceError, match="no partition 9"):
        send_lines(a_file(tmp_path, [b"a"]), topic, connection, partitions=[0, 9])
    assert list(read_topic(connection, topic)) == []


def test_missing_topic_is_an_error_that_says_so(connection: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ProduceError, match="Topic nowhere was not found"):
        send_lines(a_file(tmp_path, [b"a"]), "nowhere", connection, timeout=2)
    with pytest.raises(UnknownTopicOrPartitionError, match="nowhere"):
        list(read_topic(connection, "nowhere"))


def test_absent_broker_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProduceError, match="No Kafka broker answers at"):
        send_lines(a_file(tmp_path, [b"a"]), "clicks", {"bootstrap_servers": "127.0.0.1:1"}, timeout=1.5)


def test_lines_arrive_once_although_the_broker_restarts_meanwhile(
    stack: Stack, topic: str, connection: dict[str, Any], tmp_path: Path
) -> None:
    lines = [json.dumps(number).encode() for number in range(20_000)]
    half = threading.Event()

    def on_progress(sent: int) -> None:
        if sent >= 5_000:
            half.set()

    sending = threading.Thread(
        target=send_lines,
        args=(a_file(tmp_path, lines), topic, connection),
        kwargs={"rate": 10_000, "on_progress": on_progress},
    )
    sending.start()
    assert half.wait(60)
    stack.broker.stop()
    stack.broker.start()
    sending.join(120)
    assert sorted(int(record.value or b"-1") for record in read_topic(connection, topic)) == list(range(20_000))


def test_aborted_transactions_are_not_read(
    topic: str, connection: dict[str, Any], transactional: KafkaProducer
) -> None:
    for value, commit in [(b"a", True), (b"b", False), (b"c", True), (b"d", False)]:
        transact(transactional, topic, [value, value], commit)
    assert [record.value for record in read_topic(connection, topic)] == [b"a", b"a", b"c", b"c"]


def test_topic_of_nothing_but_markers_ends(
    topic: str, connection: dict[str, Any], transactional: KafkaProducer
) -> None:
    transact(transactional, topic, [b"a"], commit=False)
    assert list(read_topic(connection, topic)) == []


def test_open_transaction_holds_back_what_comes_after_it(
    topic: str, connection: dict[str, Any], transactional: KafkaProducer, tmp_path: Path
) -> None:
    send_lines(a_file(tmp_path, [b"before"]), topic, connection, partitions=[0])
    transactional.begin_transaction()
    transactional.send(topic, b"open", partition=0).get(30)
    send_lines(a_file(tmp_path, [b"after"]), topic, connection, partitions=[0])
    assert [record.value for record in read_topic(connection, topic)] == [b"before"]
    transactional.commit_transaction()
    assert [record.value for record in read_topic(connection, topic)] == [b"before", b"open", b"after"]


def test_records_are_read_with_key_headers_and_time(topic: str, connection: dict[str, Any]) -> None:
    with KafkaProducer(**connection) as producer:
        producer.send(topic, b"v", b"k", [("h", b"1")], partition=2, timestamp_ms=NOON)
    (record,) = read_topic(connection, topic)
    assert record == (2, 0, NOON, b"k", b"v", {"h": b"1"})


def test_quiet_partitions_get_heartbeats_of_the_current_time(
    topic: str, connection: dict[str, Any], tmp_path: Path
) -> None:
    heartbeats = Heartbeats(KafkaTopic(topic, connection), lambda: NOON)
    heartbeats.look()
    send_lines(a_file(tmp_path, [b"a"]), topic, connection, partitions=[1])
    heartbeats.look()
    heartbeats.look()
    beats = [record for record in read_topic(connection, topic) if record.key == HEARTBEAT_KEY]
    assert sorted(beat.partition for beat in beats) == [0, 0, 1, 2, 2]
    assert {(beat.value, beat.timestamp) for beat in beats} == {(None, NOON)}
