"""The streaming job: raw clicks in Kafka -> unique clicks per ad and minute, the top ads, and a ledger that adds up.

`build` is the dataflow, from a table of raw records to the results; `main` connects it to Kafka and runs it.
"""

import sys
from dataclasses import dataclass

from pyflink.common import Configuration
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import Schema, StreamTableEnvironment, Table

from jobs import tables
from jobs.event_time import IS_HEARTBEAT, RECORD_MS
from jobs.keys import in_java, keyed
from jobs.operators import name_operators
from jobs.preflight import require_topics
from jobs.setting_sources import SettingsError
from jobs.setting_types import epoch_milliseconds, milliseconds
from jobs.settings import Settings, blocklist, load
from udfs.dedupe import NONE_CLOSED, DedupeClicks, DedupeRules
from udfs.dedupe_outputs import BY_COUNTRY, COUNTS, INVALID, LATE
from udfs.pack_clicks import NO_BUCKET, PARCELS, pack_clicks
from udfs.packing import Packing

STREAM_VERSION = 0
"""A stream's count is outranked by every reconciliation."""


@dataclass(frozen=True)
class Results:
    """The tables that the job publishes, by the columns of their sinks (`jobs.tables`)."""

    counts: Table
    top_ads: Table
    late: Table
    invalid: Table
    ledger: Table
    counts_by_country: Table | None
    """Where the settings have that dimension; the last one, so that it changes the uids of no other operator."""


def build(env: StreamTableEnvironment, clicks: Table, settings: Settings) -> Results:
    """Return the results of raw clicks.

    `clicks` has the columns key, value, partition, offset, timestamp and event_time, the last one with the watermark.
    """
    env.get_config().set_local_timezone("UTC")
    parcels = pack(env, clicks, settings)  # (bucket, packed clicks or rejects)
    decided = decide(parcels, settings)  # (window_start, clicks per ad, terms of the ledger)
    counts = count(env, decided, settings)
    return Results(
        counts=publishable(env, counts, "ad_id"),
        top_ads=rank(env, counts, settings),
        late=late_records(env, decided, settings),
        invalid=invalid_records(env, decided, settings),
        ledger=balance(env, decided, settings),
        counts_by_country=count_by_country(env, decided, settings) if settings.by_country else None,
    )


def pack(env: StreamTableEnvironment, clicks: Table, settings: Settings) -> DataStream:
    """Judge the records, batch by batch, and pack them by bucket: a stream of `PARCELS`."""
    window, skew = milliseconds(settings.window), milliseconds(settings.max_clock_skew)
    packing = Packing(window, skew, settings.buckets, blocklist(settings), settings.by_country)
    env.create_temporary_function("pack", pack_clicks(packing))
    parcels = env.sql_query(f"""
        SELECT p.bucket, p.packed
        FROM (
          SELECT pack(`key`, `value`, `partition`, `offset`, {RECORD_MS}) AS p
          FROM {clicks} WHERE NOT {IS_HEARTBEAT}
        )
        WHERE p.bucket <> {NO_BUCKET}""")
    return env.to_append_stream(parcels, PARCELS)


def decide(parcels: DataStream, settings: Settings) -> DataStream:
    """Send each record one way: a stream of `COUNTS` with the side outputs `LATE`, `INVALID` and `BY_COUNTRY`."""
    rules = DedupeRules(
        milliseconds(settings.window),
        milliseconds(settings.dedupe_horizon),
        settings.buckets,
        settings.max_identities_in_memory,
        epoch_milliseconds(settings.closed_until) - 1 if settings.closed_until else NONE_CLOSED,
    )
    return keyed(parcels, PARCELS).process(DedupeClicks(rules), output_type=COUNTS).name("dedupe")


def count(env: StreamTableEnvironment, decided: DataStream, settings: Settings) -> Table:
    """Sum the clicks per ad in tumbling windows of event time; a window comes out when the watermark passes its end."""
    parts = env.from_data_stream(decided, _with_watermark())
    of_ads = f"SELECT ad_id, part, `start`, event_time FROM {parts} CROSS JOIN UNNEST(clicks) AS ads(ad_id, part)"
    return _summed(env, env.sql_query(of_ads), "ad_id", settings)


def count_by_country(env: StreamTableEnvironment, decided: DataStream, settings: Settings) -> Table:
    """Sum the clicks per ad and country in the same windows, ready to be published."""
    parts = env.from_data_stream(in_java(decided, BY_COUNTRY), _with_watermark())
    of_cells = f"""
        SELECT ad_id, country, part, `start`, event_time
        FROM {parts} CROSS JOIN UNNEST(clicks) AS countries(country, ads)
        CROSS JOIN UNNEST(ads) AS cells(ad_id, part)"""
    return publishable(env, _summed(env, env.sql_query(of_cells), "ad_id, country", settings), "ad_id, country")


def publishable(env: StreamTableEnvironment, counts: Table, by: str) -> Table:
    """Give the counts their version and source."""
    version = f"CAST({STREAM_VERSION} AS BIGINT)"
    return env.sql_query(f"SELECT {by}, `start`, `end`, clicks, {version}, 'stream' FROM {counts}")


def _summed(env: StreamTableEnvironment, clicks: Table, by: str, settings: Settings) -> Table:
    """Sum `part` in tumbling windows, for each value of the columns `by`."""
    return env.sql_query(f"""
        SELECT {by}, `start`, `start` + {milliseconds(settings.window)} AS `end`, SUM(part) AS clicks,
               window_start, window_end
        FROM TABLE(TUMBLE(TABLE {clicks}, DESCRIPTOR(event_time), {tables.interval(settings.window)}))
        GROUP BY window_start, window_end, {by}, `start`""")


def rank(env: StreamTableEnvironment, counts: Table, settings: Settings) -> Table:
    """Keep the ads with the most clicks of each window; of equal ones the first by name."""
    return env.sql_query(f"""
        SELECT `start`, `rank`, `end`, ad_id, clicks
        FROM (
          SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY clicks DESC, ad_id) AS `rank`
          FROM {counts}
        )
        WHERE `rank` <= {settings.top_ads}""")


def late_records(env: StreamTableEnvironment, decided: DataStream, settings: Settings) -> Table:
    """Return the late clicks as they came, with their origin in headers."""
    return _with_origin(env, in_java(decided, LATE), settings, "'late'")


def invalid_records(env: StreamTableEnvironment, decided: DataStream, settings: Settings) -> Table:
    """Return the invalid records as they came, with their reason and origin in headers."""
    return _with_origin(env, in_java(decided, INVALID), settings, "reason")


def balance(env: StreamTableEnvironment, decided: DataStream, settings: Settings) -> Table:
    """Add up the ledger's terms for each minute; invalid records are booked on the minute of their record timestamp."""
    terms = ", ".join(f"SUM(`{term}`) AS `{term}`" for term in ("raw", "counted", "duplicate", "late", "invalid"))
    return env.sql_query(f"""
        SELECT `start`, `start` + {milliseconds(settings.window)} AS `end`, {terms}, SUM(`raw`) AS version
        FROM {env.from_data_stream(decided)}
        GROUP BY `start`""")


def _with_origin(env: StreamTableEnvironment, records: DataStream, settings: Settings, reason: str) -> Table:
    headers = tables.headers(settings.clicks_topic, reason)
    each = f"{env.from_data_stream(records)} CROSS JOIN UNNEST(records)"
    return env.sql_query(f"SELECT `key`, `value`, {headers} FROM {each}")


def _with_watermark() -> Schema:
    """Return a stream's schema with the column `event_time`, from epoch ms in the column `start`, and its watermarks.

    A stream becomes a table without its watermarks unless the schema asks for them.
    """
    return (
        Schema.new_builder()
        .column_by_expression("event_time", "TO_TIMESTAMP_LTZ(`start`, 3)")
        .watermark("event_time", "SOURCE_WATERMARK()")
        .build()
    )


def main() -> None:
    """Connect the dataflow to Kafka and run it, with the settings of this process."""
    settings = load()
    require_topics(settings, settings.topic_settings)
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(settings.parallelism)
    env.enable_checkpointing(milliseconds(settings.checkpoint_interval))
    env.get_config().enable_object_reuse()
    env.configure(little_cache())
    table_env = StreamTableEnvironment.create(env)
    publish(table_env, build(table_env, kafka_clicks(table_env, settings), settings), settings)
    name_operators(env)
    env.execute(settings.deployment)


def little_cache() -> Configuration:
    """Return options by which PyFlink keeps no slices of the state in memory, and restores few at a time.

    By default it keeps the last 1,000 of each bucket, and for ever the keys of those that are removed meanwhile.
    """
    options = Configuration()
    options.set_string("python.map-state.read-cache-size", "0")
    options.set_string("python.map-state.iterate-response-batch-size", "32")
    return options


def kafka_clicks(env: StreamTableEnvironment, settings: Settings) -> Table:
    """Return the raw clicks in Kafka."""
    env.execute_sql(tables.clicks(settings))
    return env.from_path(tables.CLICKS)


def publish(env: StreamTableEnvironment, results: Results, settings: Settings) -> None:
    """Send each result to its Kafka topic, exactly once."""
    statements = env.create_statement_set()
    for name, ddl in tables.sinks(settings).items():
        env.execute_sql(ddl)
        statements.add_insert(name, getattr(results, name))
    statements.attach_as_datastream()


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"clickproof: {error}")
