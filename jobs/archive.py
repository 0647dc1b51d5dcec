"""The archive: every record of the clicks topic in Parquet files, as it came, exactly once.

It is a job of its own, so that a slow disk never slows the counts.
"""

import sys

from pyflink.datastream import RuntimeExecutionMode, StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment, Table

from jobs import files, tables
from jobs.event_time import RECORD_MS
from jobs.operators import name_operators
from jobs.preflight import require_topics
from jobs.setting_sources import SettingsError
from jobs.setting_types import milliseconds
from jobs.settings import Settings, load


def build(env: StreamTableEnvironment, records: Table) -> Table:
    """Return the archive's rows of raw records, with the UTC hour of their record timestamp."""
    env.get_config().set_local_timezone("UTC")
    return env.sql_query(f"""
        SELECT `key`, `value`, `topic`, `partition`, `offset`, {RECORD_MS} AS `timestamp`,
               DATE_FORMAT(`timestamp`, '{files.HOUR_SQL}') AS `hour`
        FROM {records}""")


def main() -> None:
    """Connect the records in Kafka to the files, with the settings of this process; bounded, it is a batch job."""
    settings = load()
    require_topics(settings, ["clicks_topic"])
    settings = settings.model_copy(update={"deployment": f"{settings.deployment}-archive"})
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(settings.parallelism)
    env.set_runtime_mode(RuntimeExecutionMode.BATCH if settings.bounded else RuntimeExecutionMode.STREAMING)
    env.enable_checkpointing(milliseconds(settings.archive_roll_interval))
    table_env = StreamTableEnvironment.create(env)
    archive(table_env, settings)
    name_operators(env)
    env.execute(settings.deployment)


def archive(env: StreamTableEnvironment, settings: Settings) -> None:
    """Write all records of the clicks topic to the archive."""
    env.execute_sql(tables.raw_records(settings))
    env.execute_sql(files.archive(settings))
    statements = env.create_statement_set()
    statements.add_insert(files.ARCHIVE, build(env, env.from_path(tables.CLICKS)))
    statements.attach_as_datastream()


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"clickproof: {error}")
