"""The job of the partition windows: events, and what partitions state of their own progress -> windows in order.

`build` is the dataflow, from two tables of raw records to the results; `main` connects it to Kafka and runs it.
"""

import sys
from dataclasses import dataclass
from functools import partial

from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment, Table
from pyflink.table.udf import UserDefinedScalarFunctionWrapper

from jobs import tables
from jobs.event_time import RECORD_MS
from jobs.keys import keyed
from jobs.operators import name_operators
from jobs.partition_windows_settings import WindowSettings, load
from jobs.setting_sources import SettingsError
from jobs.setting_types import milliseconds
from udfs.pack_clicks import NO_BUCKET, PARCELS, packer
from udfs.partition_windows_book import WindowRules
from udfs.partition_windows_operators import REFUSED, WINDOWS, CollectWindows, FollowStatements
from udfs.partition_windows_records import pack_events, pack_statements


@dataclass(frozen=True)
class WindowResults:
    """The tables that the job publishes, by the columns of their sinks (`jobs.tables`)."""

    windows: Table
    refused: Table


def build(env: StreamTableEnvironment, events: Table, statements: Table, settings: WindowSettings) -> WindowResults:
    """Return the windows, and what was refused, of raw events and raw statements.

    Both tables have the columns key, value, partition, offset and timestamp.
    """
    env.get_config().set_local_timezone("UTC")
    rules = window_rules(settings)
    packed_events = pack(env, events, "pack_events", packer(partial(pack_events, buckets=rules.buckets)))
    packed_statements = pack(env, statements, "pack_statements", packer(pack_statements))
    orders = follow(packed_statements, rules, settings)  # (bucket, packed orders)
    collected = collect(packed_events.union(orders), rules)  # (partition, window)
    return WindowResults(
        windows=env.from_data_stream(collected),
        refused=refused_records(env, collected, orders, settings),
    )


def window_rules(settings: WindowSettings) -> WindowRules:
    """Return what the operators must know."""
    window, unknown_timeout = milliseconds(settings.window), milliseconds(settings.unknown_timeout)
    return WindowRules(window, settings.max_pending_bytes, unknown_timeout, settings.buckets)


def pack(
    env: StreamTableEnvironment, records: Table, name: str, function: UserDefinedScalarFunctionWrapper
) -> DataStream:
    """Read the records, batch by batch, and pack them by bucket: a stream of `PARCELS`."""
    env.create_temporary_function(name, function)
    parcels = env.sql_query(f"""
        SELECT p.bucket, p.packed
        FROM (SELECT {name}(`key`, `value`, `partition`, `offset`, {RECORD_MS}) AS p FROM {records})
        WHERE p.bucket <> {NO_BUCKET}""")
    return env.to_append_stream(parcels, PARCELS)


def follow(statements: DataStream, rules: WindowRules, settings: WindowSettings) -> DataStream:
    """Bring all statements into one order: a stream of `PARCELS` with orders, and the side output `REFUSED`."""
    idle_timeout = None if settings.idle_timeout is None else milliseconds(settings.idle_timeout)
    control = FollowStatements(rules, idle_timeout)
    return keyed(statements, PARCELS).process(control, output_type=PARCELS).name("follow")


def collect(parcels: DataStream, rules: WindowRules) -> DataStream:
    """Hold the events until their windows are complete: a stream of `WINDOWS` with the side output `REFUSED`."""
    return keyed(parcels, PARCELS).process(CollectWindows(rules), output_type=WINDOWS).name("collect")


def refused_records(
    env: StreamTableEnvironment, collected: DataStream, orders: DataStream, settings: WindowSettings
) -> Table:
    """Return the refused events and statements as they came, with their reason and origin in headers."""
    sources = {settings.events_topic: collected, settings.watermarks_topic: orders}
    of_topics = [
        f"SELECT `key`, `value`, {tables.headers(topic, 'reason')} "
        f"FROM {env.from_data_stream(stream.get_side_output(REFUSED))}"
        for topic, stream in sources.items()
    ]
    return env.sql_query(" UNION ALL ".join(of_topics))


def main() -> None:
    """Connect the dataflow to Kafka and run it, with the settings of this process."""
    settings = load()
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(settings.parallelism)
    env.enable_checkpointing(milliseconds(settings.checkpoint_interval))
    env.get_config().enable_object_reuse()
    table_env = StreamTableEnvironment.create(env)
    publish(table_env, build(table_env, *kafka_records(table_env, settings), settings), settings)
    name_operators(env)
    env.execute(settings.deployment)


def kafka_records(env: StreamTableEnvironment, settings: WindowSettings) -> tuple[Table, Table]:
    """Return the raw events and the raw statements in Kafka."""
    for ddl in tables.window_sources(settings):
        env.execute_sql(ddl)
    return env.from_path(tables.WINDOW_EVENTS), env.from_path(tables.STATEMENTS)


def publish(env: StreamTableEnvironment, results: WindowResults, settings: WindowSettings) -> None:
    """Send each result to its Kafka topic, exactly once."""
    statements = env.create_statement_set()
    for name, ddl in tables.window_sinks(settings).items():
        env.execute_sql(ddl)
        statements.add_insert(name, getattr(results, name))
    statements.attach_as_datastream()


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"clickproof: {error}")
