"""The job of the partition windows on a MiniCluster, held against the library; and its operators' names."""

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from pyflink.common import Instant, Row
from pyflink.table import Schema, StreamTableEnvironment, Table

from jobs.operators import name_operators
from jobs.partition_windows import build, kafka_records, publish
from jobs.partition_windows_settings import WindowSettings
from tests.flink.conftest import _RECORD, environment
from tests.partition_windows_plane import Result, of_library, some_operations, topics

pytestmark = pytest.mark.flink

GOLDEN = Path(__file__).with_name("golden_window_uids.txt")
WINDOW = 20
SETTINGS = WindowSettings(window=timedelta(milliseconds=WINDOW), max_pending_bytes=300, buckets=3, parallelism=1)


def records(env, table_env: StreamTableEnvironment, keys_and_values: Iterable[tuple[bytes | None, bytes]]) -> Table:
    rows = [
        Row(key, value, 0, offset, Instant.of_epoch_milli(7)) for offset, (key, value) in enumerate(keys_and_values)
    ]
    schema = Schema.new_builder()
    columns = {"key": "BYTES", "value": "BYTES", "partition": "INT", "offset": "BIGINT"}
    for name, type_ in (columns | {"timestamp": "TIMESTAMP_LTZ(3)"}).items():
        schema.column(name, type_)
    return table_env.from_data_stream(env.from_collection(rows, _RECORD), schema.build())


def run(events: list[tuple], statements: list[tuple], batch: int = 10, settings: WindowSettings = SETTINGS):
    """Run the job to the end of both topics; yields (name of the result, kind of change, columns...)."""
    env, table_env = environment(settings, batch)
    tables = [records(env, table_env, topic) for topic in (events, statements)]
    results = build(table_env, *tables, settings)
    windows, refused = (
        table_env.to_data_stream(getattr(results, name)).map(lambda row, name=name: (name, *row))
        for name in ("windows", "refused")
    )
    name_operators(env)
    with windows.union(refused).execute_and_collect() as rows:
        yield from rows


def test_the_job_publishes_and_refuses_what_the_library_does():
    operations = some_operations(seed=8, partitions=20, count=1_000, step=3)
    sent, result = topics(operations), Result(WINDOW)
    roomy = SETTINGS.model_copy(update={"max_pending_bytes": 10**6})
    for name, key_or_record, value, *headers in run(sent.events, sent.statements, 50, roomy):
        if name == "windows":
            assert json.loads(value)["partition"].encode() == key_or_record
            result.add_window(value)
        else:
            result.add_refused(value, headers[0]["clickproof.reason"].decode())
    expected = of_library(operations, WINDOW)
    assert sum(map(len, expected.windows.values())) > 50
    assert len(expected.refused) > 30
    assert result == expected


def event(name: str = "a", timestamp: int = 0, **overrides: object) -> tuple[bytes, bytes]:
    return name.encode(), json.dumps({"partition": name, "timestamp": timestamp, "data": None} | overrides).encode()


def statement(op: str = "advance", name: str = "a", **fields: object) -> tuple[None, bytes]:
    return None, json.dumps({"op": op, "partition": name} | fields).encode()


def test_what_is_refused_keeps_its_bytes_and_tells_its_reason_and_origin():
    events = [event(), (b"a", b"{"), event("b"), (b"b", event("a")[1]), event(timestamp=2**62), event(data="x" * 300)]
    statements = [statement("add"), statement(name="b", timestamp=1), statement(timestamp=True), statement("leave")]
    outputs = list(run(events, statements))
    reasons = {
        (headers["clickproof.topic"].decode(), int(headers["clickproof.offset"])): headers["clickproof.reason"].decode()
        for name, _, _, *rest in outputs
        if name == "refused"
        for headers in rest
    }
    assert reasons == {
        ("window-events", 1): "not_json",
        ("window-events", 2): "unknown_partition",
        ("window-events", 3): "wrong_key",
        ("window-events", 4): "timestamp_out_of_range",
        ("window-events", 5): "buffer_full",
        ("window-watermarks", 1): "unknown_partition",
        ("window-watermarks", 2): "wrong_type",
        ("window-watermarks", 3): "wrong_type",
    }
    both = [*enumerate(events), *enumerate(statements)]
    sent = [record for offset, record in both if record not in (events[0], statements[0])]
    assert sorted((key or b"", value) for _, key, value, *_ in outputs) == sorted((k or b"", v) for k, v in sent)
    assert {headers["clickproof.timestamp"] for *_, headers in outputs} == {b"7"}


def test_uids_are_those_of_the_savepoints_out_there():
    env, table_env = environment(SETTINGS, batch=10)
    tables = kafka_records(table_env, SETTINGS)
    publish(table_env, build(table_env, *tables, SETTINGS), SETTINGS)
    assert name_operators(env) == GOLDEN.read_text().splitlines()
