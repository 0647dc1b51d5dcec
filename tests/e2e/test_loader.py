"""From a real broker into the store: whatever happens on the way, its rows end equal to the topics."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer

from local.broker import Broker
from local.processes import LocalError, await_until, free_port, port_in_use
from serving.answers import Answers
from serving.loader import Loader
from serving.settings import ServingError, Settings, load
from serving.store import Store
from tests.patience import PATIENCE
from tests.result_topics import ALL, create, publish, published, send, stored
from tests.served import a_count, a_ledger_row, a_ranking, minute

pytestmark = pytest.mark.e2e
CLICKPROOF = Path(sys.executable).parent / "clickproof"
KILLS = 4

# Small steps, so that a kill meets each of their parts.
LOADER = """
import sys, threading
import serving.feed
from serving.loader import Loader
from serving.settings import load
from serving.store import Store
serving.feed.MAX_BATCHES = 2
settings = load({"store": sys.argv[1], "bootstrap_servers": sys.argv[2]})
store = Store(settings)
print("loads", flush=True)
Loader(store, settings).run(threading.Event())
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with tempfile.TemporaryDirectory(prefix="clickproof-") as home:
        broker = Broker(Path(home), free_port())
        broker.start()
        yield broker
        broker.stop()


@pytest.fixture
def settings(broker: Broker) -> Iterator[Settings]:
    """A store of its own, and topics of which there are none yet."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield load({"store": folder, "bootstrap_servers": broker.bootstrap_servers}, environment={})
    broker.delete_topics(ALL)


@pytest.fixture
def producer(broker: Broker) -> Iterator[KafkaProducer]:
    producer = KafkaProducer(transactional_id=f"job-{random.random()}", **broker.connection)
    producer.init_transactions()
    yield producer
    producer.close()


def loader_process(settings: Settings) -> subprocess.Popen[str]:
    """A loader in a process of its own; returns when it begins to load."""
    command = [sys.executable, "-c", LOADER, settings.store, settings.bootstrap_servers]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "loads\n"
    return process


def source(settings: Settings) -> list[str]:
    return ["--store", settings.store, "--bootstrap-servers", settings.bootstrap_servers]


def clickproof(*arguments: str) -> str:
    answer = subprocess.run([str(CLICKPROOF), *arguments], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


class Running:
    """A loader in a thread."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.stop = threading.Event()
        self.thread = threading.Thread(target=loader.run, args=(self.stop,))

    def __enter__(self) -> Loader:
        self.thread.start()
        return self.loader

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


def test_a_loader_that_is_killed_again_and_again_ends_equal_to_the_topics(
    broker: Broker, settings: Settings, producer: KafkaProducer
) -> None:
    chance = random.Random(20260101)
    create(broker)
    publish(producer, chance, 9)
    for _ in range(KILLS):
        process = loader_process(settings)
        with process:
            try:
                process.wait(chance.uniform(0.3, 1.5))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
            publish(producer, chance, 4)
    with Store(settings) as store:
        partial = sum(len(rows) for rows in stored(store).values())
        Loader(store, settings).load_all()
        found, expected = stored(store), published(broker)
        for table in expected:
            assert found[table] == expected[table], table
    assert partial  # something had been loaded before the kills


def test_a_rebuilt_store_equals_the_topics_and_has_nothing_else(
    broker: Broker, settings: Settings, producer: KafkaProducer
) -> None:
    create(broker)
    publish(producer, random.Random(1), 8)
    with Store(settings) as store:
        Loader(store, settings).load_all()
        store.insert("counts", json.dumps(a_count(0, "tampered", 10**6, version=10**9)).encode())
    assert "rows loaded" in clickproof("store", "rebuild", *source(settings))
    with Store(settings) as store:
        assert stored(store) == published(broker)


def test_a_ranking_waits_for_the_counts_that_were_written_before_it(
    broker: Broker, settings: Settings, producer: KafkaProducer
) -> None:
    create(broker)
    with (
        Store(settings) as store,
        Running(Loader(store, settings)) as loader,
        KafkaProducer(**broker.connection) as other,
    ):
        producer.begin_transaction()
        send(producer, ALL.counts, [a_count(0, "a", 5)])
        producer.flush()
        send(other, ALL.ledger, [a_ledger_row(0, counted=5)])
        send(other, ALL.top, [a_ranking(0, "a", 5)])
        other.flush()
        await_until(lambda: loader.rows[ALL.ledger] == 1, "Loading the ledger", PATIENCE)
        with pytest.raises(LocalError):
            await_until(lambda: loader.rows[ALL.top] > 0, "Loading the ranking", 2)
        producer.commit_transaction()
        await_until(lambda: loader.rows[ALL.top] == 1, "Loading the ranking", PATIENCE)
        await_until(lambda: Answers(store).window(minute(0)).verdict == "closed", "Closing the window", PATIENCE)


def test_topics_that_come_later_are_read_and_the_lag_goes(broker: Broker, settings: Settings) -> None:
    with Store(settings) as store, Running(Loader(store, settings)) as loader:
        await_until(lambda: loader.trouble is None, "Starting the loader", PATIENCE)
        assert loader.idle_partitions is None
        create(broker, ALL.clicks, ALL.counts)
        with KafkaProducer(**broker.connection) as other:
            send(other, ALL.counts, [a_count(0, "a", 5), None, a_count(0, "b", 5)])
            other.send(ALL.clicks, b"{}", partition=1)
        await_until(lambda: loader.rows[ALL.counts] == 2, "Loading the counts", PATIENCE)
        await_until(lambda: loader.lag.get(ALL.counts) == 0, "Losing the lag", PATIENCE)
        await_until(lambda: loader.idle_partitions == [0], "Noting the idle partition", PATIENCE)


def test_a_broker_that_restarts_is_waited_for(broker: Broker, settings: Settings) -> None:
    create(broker, ALL.counts)
    with Store(settings) as store, Running(Loader(store, settings)) as loader:
        with KafkaProducer(**broker.connection) as other:
            send(other, ALL.counts, [a_count(0, "a", 5)])
        await_until(lambda: loader.rows[ALL.counts] == 1, "Loading the first count", PATIENCE)
        broker.stop()
        broker.start()
        with KafkaProducer(**broker.connection) as other:
            send(other, ALL.counts, [a_count(0, "b", 5)])
        await_until(lambda: store.ask("SELECT count() FROM counts", {}) == [(2,)], "Loading the second count", PATIENCE)


def test_a_topic_that_was_made_anew_is_not_mixed_with_the_old_one(broker: Broker, settings: Settings) -> None:
    create(broker, ALL.counts)
    with KafkaProducer(**broker.connection) as other:
        send(other, ALL.counts, [a_count(0, "a", 5)])
    with Store(settings) as store:
        assert Loader(store, settings).load_all() == 1
        broker.delete_topics([ALL.counts])
        create(broker, ALL.counts)
        with pytest.raises(ServingError, match="run clickproof store rebuild"):
            Loader(store, settings).load_all()


def test_a_foreign_record_ends_the_loading_with_its_place(broker: Broker, settings: Settings) -> None:
    create(broker, ALL.late)
    with KafkaProducer(**broker.connection) as other:
        other.send(ALL.late, b"no click", partition=1)
    with Store(settings) as store, pytest.raises(ServingError, match="clicks-late, partition 1, offset 0"):
        Loader(store, settings).run(threading.Event())


def test_the_commands_ask_the_api_that_runs_and_without_one_the_store(
    broker: Broker, settings: Settings, producer: KafkaProducer
) -> None:
    create(broker)
    producer.begin_transaction()
    send(producer, ALL.counts, [a_count(0, "a [b] é", 5), a_count(0, "b", 7)])
    send(producer, ALL.ledger, [a_ledger_row(0, counted=12)])
    send(producer, ALL.top, [a_ranking(0, "b", 7)])
    producer.commit_transaction()
    port = free_port()
    asked = ["--api", f"http://127.0.0.1:{port}", "--store", settings.store, "--json"]
    with subprocess.Popen([str(CLICKPROOF), "serve", *source(settings), "--port", str(port)]) as server:
        try:
            await_until(lambda: port_in_use(port), "Starting the API", PATIENCE)
            await_until(
                lambda: json.loads(clickproof("top", *asked))["verdict"] == "closed", "Closing the window", PATIENCE
            )
            through_api = [clickproof("top", *asked), clickproof("clicks", "a [b] é", *asked)]
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 128 + signal.SIGTERM
    for command, before in zip((["top"], ["clicks", "a [b] é"]), through_api, strict=True):
        now = json.loads(clickproof(*command, *asked))
        assert now["idle_partitions"] is None  # nobody watches the clicks
        assert now | {"idle_partitions": [0, 1]} == json.loads(before)
    assert json.loads(through_api[0])["ads"][0] == {"rank": 1, "ad_id": "b", "clicks": 7}
    assert json.loads(through_api[1])["clicks"] == 5
    assert "a [b] é" in clickproof("top", *asked[:-1])
