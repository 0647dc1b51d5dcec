"""The job on a local MiniCluster, fed with records one at a time so that every watermark has its place."""

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pyflink.common import Configuration, Instant, Row, Types
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import Schema, StreamTableEnvironment

from jobs import tables
from jobs.click_stream import build, little_cache
from jobs.event_time import event_time
from jobs.operators import name_operators
from jobs.settings import Settings
from tests.builders import MINUTE, NOON

_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
_RECORD = Types.ROW_NAMED(
    ["key", "value", "partition", "offset", "timestamp"], [_BYTES, _BYTES, Types.INT(), Types.LONG(), Types.INSTANT()]
)


CONNECTORS = ";".join(jar.as_uri() for jar in (Path(__file__).parents[2] / "build" / "jars" / "flink").glob("*.jar"))


@pytest.fixture(scope="module", autouse=True)
def one_planning_thread() -> Iterator[None]:
    """Keep a job's planning on one thread of the JVM.

    The planner keeps what it needs in a thread-local, and its thread is that of the Py4J connection that calls it. The
    Python workers are threads of this process: one that collects garbage while another call is under way takes a second
    connection, which the planner's next call may then get.
    """
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@dataclass
class Published:
    """What the job published, in order."""

    counts: list[tuple] = field(default_factory=list)
    top_ads: list[tuple] = field(default_factory=list)
    late: list[tuple] = field(default_factory=list)
    invalid: list[tuple] = field(default_factory=list)
    ledger: list[tuple] = field(default_factory=list)
    counts_by_country: list[tuple] = field(default_factory=list)

    @property
    def clicks(self) -> dict[tuple[str, int], int]:
        """Clicks by ad and window start."""
        return {(ad, start): clicks for ad, start, _, clicks, _, _ in self.counts}

    @property
    def terms(self) -> dict[int, tuple[int, ...]]:
        """The last ledger row of each minute: raw, counted, duplicate, late, invalid."""
        return {row[0]: row[2:7] for row in self.ledger}


def record(value: bytes | None, key: bytes | None = None, time: int = NOON + 2 * MINUTE) -> tuple:
    """A Kafka record; its timestamp is late enough for any click of the tests' first minutes."""
    return key, value, time


def environment(settings: Settings, batch: int) -> tuple[StreamExecutionEnvironment, StreamTableEnvironment]:
    options = {
        "pipeline.jars": CONNECTORS,
        "python.executable": sys.executable,
        "python.fn-execution.bundle.size": str(batch),
        "python.fn-execution.arrow.batch.size": str(batch),
        "pipeline.auto-watermark-interval": "0 ms",
        "pipeline.object-reuse": "true",
        "table.local-time-zone": "Asia/Kolkata",  # times are epoch milliseconds, wherever the cluster runs
        "restart-strategy.type": "none",
        "rest.bind-port": "0",
    }
    configuration = Configuration()
    for name, value in options.items():
        configuration.set_string(name, value)
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    env.configure(little_cache())
    env.set_parallelism(settings.parallelism)
    return env, StreamTableEnvironment.create(env)


@pytest.fixture(scope="session")
def run() -> Callable[..., Published]:
    """Run the job over records to their end; with batches of 1 each record meets the watermark of those before."""

    def run_job(records: Iterable[tuple], batch: int = 1, **overrides: object) -> Published:
        settings = Settings(**({"parallelism": 1} | overrides))
        env, table_env = environment(settings, batch)
        rows = [
            Row(key, value, 0, offset, Instant.of_epoch_milli(time))
            for offset, (key, value, time) in enumerate(records)
        ]
        schema = (
            Schema.new_builder()
            .column("key", "BYTES")
            .column("value", "BYTES")
            .column("partition", "INT")
            .column("offset", "BIGINT")
            .column("timestamp", "TIMESTAMP_LTZ(3)")
            .column_by_expression("event_time", event_time(settings.max_clock_skew))
            .watermark("event_time", f"event_time - {tables.interval(settings.out_of_orderness)}")
            .build()
        )
        clicks = table_env.from_data_stream(env.from_collection(rows, _RECORD), schema)
        results = build(table_env, clicks, settings)
        published = Published()
        streams = [
            table_env.to_changelog_stream(getattr(results, name)).map(
                lambda row, name=name: (name, row.get_row_kind().name, *row)
            )
            for name in vars(published)
            if getattr(results, name) is not None
        ]
        merged = streams[0].union(*streams[1:])
        name_operators(env)
        with merged.execute_and_collect() as rows_out:
            for name, kind, *row in rows_out:
                if not kind.endswith("BEFORE"):
                    getattr(published, name).append(tuple(row))
        return published

    return run_job
