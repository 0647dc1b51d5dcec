"""Row 11 of docs/reliability.md: the store's server is killed in the middle of loading, and is away for minutes."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from sys import executable

import pytest
from kafka import KafkaProducer

from local.processes import Daemon, await_until, free_port, port_in_use
from local.stack import Stack
from local.submission import PROJECT
from serving.loader import Loader
from serving.settings import load
from serving.store import Store
from tests.patience import PATIENCE
from tests.result_topics import ALL, create, publish, published, stored

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]
KILLS = 4
AWAY = 300.0


class Server:
    """The store's server as a process."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.daemon = Daemon("The store's server", home / "store.pid", home / "store.log")
        self.command = [executable, "-m", "tests.store_server", str(home / "store"), str(self.port)]

    def start(self) -> None:
        self.daemon.start(self.command, cwd=PROJECT)
        await_until(lambda: port_in_use(self.port), "Starting the store", PATIENCE, self.daemon)

    def kill(self) -> None:
        self.daemon.stop(timeout=0)


@pytest.fixture
def server(stack: Stack, tmp_path: Path) -> Iterator[Server]:
    """A server of an empty store, beside empty result topics; they end with the test, however it ends."""
    server = Server(tmp_path)
    server.start()
    create(stack.broker)
    yield server
    server.kill()
    stack.broker.delete_topics(ALL)


def test_a_store_that_dies_and_is_away_for_minutes_ends_equal_to_the_topics(
    stack: Stack, server: Server, seed: int
) -> None:
    chance = random.Random(seed)
    settings = load(
        {"store": f"http://127.0.0.1:{server.port}/clicks", "bootstrap_servers": stack.broker.bootstrap_servers},
        environment={},
    )
    stop = threading.Event()
    with KafkaProducer(transactional_id="job", **stack.broker.connection) as producer, Store(settings) as store:
        producer.init_transactions()
        loader = Loader(store, settings)
        loading = threading.Thread(target=loader.run, args=(stop,))
        loading.start()
        try:
            for seconds in [*(chance.uniform(0.5, 5) for _ in range(KILLS)), AWAY]:
                before = loader.rows.total()
                publish(producer, chance, 20)
                await_until(lambda before=before: loader.rows.total() > before, "Loading", PATIENCE)
                server.kill()
                publish(producer, chance, 20)
                await_until(
                    lambda: "Loading waits" in (loader.trouble or ""), "Noting that the store is away", PATIENCE
                )
                threading.Event().wait(seconds)
                server.start()
            await_until(lambda: loader.trouble is None and not any(loader.lag.values()), "Loading the rest", PATIENCE)
        finally:
            stop.set()
            loading.join()
        found, expected = stored(store), published(stack.broker)
        assert sum(map(len, expected.values())) > 0
        for table in expected:
            assert found[table] == expected[table], table
