"""The reconciliation: recounts the clicks of a span from their records, and sets the result beside what was published.

A batch job. `build` is the recount; it shares no code with the streaming job's dedupe and windows. The rules of a click
and its identity are the same, by contract. What is done with the results is in `audit.reconciliation`.
"""

import sys
from dataclasses import dataclass
from typing import NamedTuple

from pyflink.datastream import RuntimeExecutionMode, StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment, Table

from jobs import files, tables
from jobs.event_time import RECORD_MS
from jobs.reconcile_settings import ReconcileSettings, load
from jobs.setting_sources import SettingsError
from jobs.setting_types import milliseconds
from jobs.settings import blocklist
from udfs.identify_clicks import NO_CLICK, identify_clicks

MAX_PARTITIONS = 65_536


class Inputs(NamedTuple):
    """The records (topic, partition, offset, timestamp, value), late clicks (value), and counts (see `published`)."""

    records: Table
    late: Table
    counts: Table


@dataclass(frozen=True)
class Results:
    """The tables that the job writes, by the columns of `jobs.files.RESULTS`."""

    coverage: Table
    gaps: Table
    late: Table
    cells: Table
    spread: Table


def build(env: StreamTableEnvironment, inputs: Inputs, settings: ReconcileSettings) -> Results:
    """Return the proof of the input, the counts beside the published ones, and the clicks in several places."""
    env.get_config().set_local_timezone("UTC")
    window, skew = milliseconds(settings.window), milliseconds(settings.max_clock_skew)
    env.create_temporary_function("identify", identify_clicks(window, skew, blocklist(settings)))
    env.create_temporary_function("identify_late", identify_clicks(window, skew))
    records = in_sequence(env, inputs.records)
    late = identified(env, inputs.late)
    places = place(env, once_each(env, records), late)
    return Results(
        coverage=cover(env, records),
        gaps=find_gaps(env, records),
        late=env.sql_query(f"SELECT window_start, COUNT(*) AS records FROM {late} GROUP BY window_start"),
        cells=compare(env, recount(env, places, settings), inputs.counts),
        spread=env.sql_query(f"SELECT * FROM {places} WHERE places > 1"),
    )


def in_sequence(env: StreamTableEnvironment, records: Table) -> Table:
    """Identify the records' clicks, and give each record offset and time of the one before it in its partition.

    The planner would sort first, and carry every value through it, were the partition it sorts by a column as it came.
    """
    before = "OVER (PARTITION BY `topic`, number ORDER BY `offset`, `timestamp`)"
    return env.sql_query(f"""
        SELECT *, LAG(`offset`) {before} AS previous, LAG(`timestamp`) {before} AS previous_timestamp
        FROM (
          SELECT `topic`, `partition`, CAST(`partition` AS BIGINT) AS number, `offset`, `timestamp`,
                 identify(`value`, `timestamp`) AS click
          FROM {records}
        )""")


def cover(env: StreamTableEnvironment, records: Table) -> Table:
    """Return the offsets of each partition, how many of its rows are repeats, and where an offset has two records."""
    twofold = "CASE WHEN `offset` = previous AND `timestamp` <> previous_timestamp THEN `offset` END"
    return env.sql_query(f"""
        SELECT `topic`, `partition`, MIN(`offset`) AS first_offset, MAX(`offset`) AS last_offset,
               MAX(`timestamp`) AS last_timestamp,
               SUM(CASE WHEN `offset` = previous THEN 1 ELSE 0 END) AS repeats,
               MIN({twofold}) AS first_twofold, MAX({twofold}) AS last_twofold
        FROM {records} GROUP BY `topic`, `partition`""")


def find_gaps(env: StreamTableEnvironment, records: Table) -> Table:
    """Return the offsets that are missing between others."""
    return env.sql_query(f"""
        SELECT `topic`, `partition`, previous + 1 AS first_offset, `offset` - 1 AS last_offset
        FROM {records} WHERE `offset` > previous + 1""")


def once_each(env: StreamTableEnvironment, records: Table) -> Table:
    """Leave out repeated rows, and what is no click or filtered."""
    return env.sql_query(f"""
        SELECT click.high, click.low, click.window_start, click.ad_id,
               `timestamp` AS arrived, `offset` * {MAX_PARTITIONS} + `partition` AS `position`
        FROM {records}
        WHERE (previous IS NULL OR `offset` > previous) AND click.window_start <> {NO_CLICK}""")


def identified(env: StreamTableEnvironment, late: Table) -> Table:
    """Identify the late clicks: they were judged valid, and not filtered, when they came, whatever their time."""
    return env.sql_query(f"""
        SELECT click.high, click.low, click.window_start, click.ad_id
        FROM (SELECT identify_late(`value`, CAST({2**62} AS BIGINT)) AS click FROM {late})
        WHERE click.window_start <> {NO_CLICK}""")


def place(env: StreamTableEnvironment, clicks: Table, late: Table) -> Table:
    """Return each identity's places (window and ad), in order of arrival, with the copies seen there.

    The record timestamp orders copies, of equal ones offset and partition.
    """
    return env.sql_query(f"""
        SELECT *, ROW_NUMBER() OVER (PARTITION BY high, low ORDER BY arrived, `position`) AS nth,
               COUNT(*) OVER (
                 PARTITION BY high, low ORDER BY arrived, `position`
                 ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
               ) AS places
        FROM (
          SELECT high, low, window_start, ad_id, SUM(copy) AS copies, SUM(1 - copy) AS late,
                 MIN(arrived) AS arrived, MIN(`position`) AS `position`
          FROM (
            SELECT *, CAST(1 AS BIGINT) AS copy FROM {clicks}
            UNION ALL
            SELECT *, CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), CAST(0 AS BIGINT) FROM {late}
          )
          GROUP BY high, low, window_start, ad_id
        )
        WHERE copies > 0""")


def recount(env: StreamTableEnvironment, places: Table, settings: ReconcileSettings) -> Table:
    """Count the span's identities that have one place; `late`: those of which every copy came late."""
    return env.sql_query(f"""
        SELECT window_start, ad_id, COUNT(*) AS exact, SUM(CASE WHEN late >= copies THEN 1 ELSE 0 END) AS late
        FROM {places}
        WHERE places = 1 AND window_start >= {settings.span_from} AND window_start < {settings.span_to}
        GROUP BY window_start, ad_id""")


def compare(env: StreamTableEnvironment, exact: Table, published: Table) -> Table:
    """Return recounted and published counts side by side; what one of them does not have is 0 there."""
    return env.sql_query(f"""
        SELECT COALESCE(e.window_start, p.window_start) AS window_start, COALESCE(e.ad_id, p.ad_id) AS ad_id,
               COALESCE(p.clicks, 0) AS published, COALESCE(p.version, -1) AS version,
               COALESCE(e.exact, 0) AS exact, COALESCE(e.late, 0) AS late
        FROM {exact} AS e FULL OUTER JOIN {published} AS p ON e.window_start = p.window_start AND e.ad_id = p.ad_id""")


def main() -> None:
    """Run the recount with the settings of this process."""
    settings = load()
    env = StreamExecutionEnvironment.get_execution_environment()
    connect(env, settings)
    env.execute(f"{settings.deployment}-reconcile")


def connect(env: StreamExecutionEnvironment, settings: ReconcileSettings) -> None:
    """Connect the recount to its inputs, and to its results in files."""
    env.set_parallelism(settings.parallelism)
    env.set_runtime_mode(RuntimeExecutionMode.BATCH)
    table_env = StreamTableEnvironment.create(env)
    inputs = Inputs(records(table_env, settings), late_clicks(table_env, settings), published(table_env, settings))
    write(table_env, build(table_env, inputs, settings), settings)


def records(env: StreamTableEnvironment, settings: ReconcileSettings) -> Table:
    """Return the records that can hold clicks of the span, from the archive or the topic."""
    if settings.source == "kafka":
        env.execute_sql(tables.raw_records(settings, settings.read_since))
        return env.sql_query(f"""
            SELECT `topic`, `partition`, `offset`, {RECORD_MS} AS `timestamp`, `value` FROM {tables.CLICKS}""")
    env.execute_sql(files.archive(settings, partitioned=settings.archive_since is not None))
    hours = f"WHERE `hour` >= '{settings.archive_since}'" if settings.archive_since else ""
    return env.sql_query(f"SELECT `topic`, `partition`, `offset`, `timestamp`, `value` FROM {files.ARCHIVE} {hours}")


def late_clicks(env: StreamTableEnvironment, settings: ReconcileSettings) -> Table:
    """Return the values that the stream sent aside as late."""
    in_files = settings.late_file and files.parquet(tables.LATE, files.LATE_COLUMNS, settings.late_file)
    env.execute_sql(in_files or tables.late_clicks(settings, settings.read_since))
    return env.from_path(tables.LATE)


def published(env: StreamTableEnvironment, settings: ReconcileSettings) -> Table:
    """Return the counts in force of the span: of each ad and window the one with the highest version."""
    in_files = settings.counts_file and files.parquet(tables.COUNTS, files.COUNT_COLUMNS, settings.counts_file)
    env.execute_sql(in_files or tables.published_counts(settings, settings.read_since))
    latest = "version DESC" if in_files else "version DESC, `offset` DESC"
    return env.sql_query(f"""
        SELECT ad_id, window_start, clicks, version
        FROM (
          SELECT *, ROW_NUMBER() OVER (PARTITION BY ad_id, window_start ORDER BY {latest}) AS nth
          FROM {tables.COUNTS}
          WHERE window_start >= {settings.span_from} AND window_start < {settings.span_to}
        )
        WHERE nth = 1""")


def write(env: StreamTableEnvironment, results: Results, settings: ReconcileSettings) -> None:
    """Write each result to a folder of its own."""
    statements = env.create_statement_set()
    for name in files.RESULTS:
        env.execute_sql(files.result(name, settings))
        statements.add_insert(f"{name}_result", getattr(results, name))
    statements.attach_as_datastream()


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"clickproof: {error}")
