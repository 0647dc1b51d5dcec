"""A broker that is killed while it commits completes every transaction: no version may be pinned that does not.

Kafka 4.3.0 to 4.4.0 leave some open for ever (KAFKA-20734): nobody reads what comes after them, and nothing fails.
"""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaProducer, TopicPartition

from audit.transactions import commit
from local.broker import Broker
from local.processes import LocalError, await_until, free_port
from local.topics import await_readable
from tests.patience import PATIENCE

pytestmark = pytest.mark.long
TRANSACTIONS, KILLS = 48, 2
TRANSACTION_SECONDS = 30
TOPIC = "results"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "kafka", free_port())
    try:
        broker.start()
        broker.create_topics({TOPIC: TRANSACTIONS})
        yield broker
    finally:
        broker.stop()


def test_what_is_committed_can_be_read_although_the_broker_was_killed_meanwhile(broker: Broker):
    for kill in range(KILLS):
        commit_and_kill(broker, kill)
        await_readable(broker.connection, [TopicPartition(TOPIC, partition) for partition in range(TRANSACTIONS)])


def commit_and_kill(broker: Broker, kill: int) -> None:
    """Commit a transaction in each partition, and kill the broker as soon as it has said of one that it is done."""
    with ThreadPoolExecutor(TRANSACTIONS) as pool:
        producers = list(pool.map(partial(flushed, broker, kill), range(TRANSACTIONS)))
        commits = [pool.submit(committed, producer) for producer in producers]
        wait(commits, return_when=FIRST_COMPLETED)
        os.kill(broker.daemon.pid or 0, signal.SIGKILL)
        await_until(lambda: not broker.alive(), "The end of the broker", PATIENCE)
        broker.start()
        for done, producer in zip(commits, producers, strict=True):
            done.result()
            producer.close()


def committed(producer: KafkaProducer) -> None:
    """Commit, if the client does not forget to (`audit.transactions`): then the coordinator rolls back."""
    with suppress(LocalError):
        commit(producer, TRANSACTION_SECONDS)


def flushed(broker: Broker, kill: int, partition: int) -> KafkaProducer:
    """A producer in whose transaction there is a record, which the broker has."""
    producer = KafkaProducer(
        transactional_id=f"{kill}-{partition}",
        transaction_timeout_ms=TRANSACTION_SECONDS * 1000,
        **broker.connection,
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(TOPIC, b"record", partition=partition).get(timeout=30)
    return producer
