"""What the source alone can do: Clickproof's own, with the same watermark, thrown away. A Flink job."""

import json
import sys
from datetime import timedelta

from pyflink.table import EnvironmentSettings, TableEnvironment

from jobs import tables
from jobs.settings import Settings

task = json.loads(sys.argv[1])
settings = Settings(
    deployment=task["name"],
    bootstrap_servers=task["bootstrap_servers"],
    clicks_topic=task["topic"],
    bounded=True,
    idle_timeout=timedelta(hours=24),
)
env = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
env.get_config().set_local_timezone("UTC")
env.get_config().set("parallelism.default", str(task["parallelism"]))
env.get_config().set("execution.checkpointing.interval", "10 s")
env.execute_sql(tables.clicks(settings))
env.execute_sql("CREATE TABLE nothing (`value` BYTES, event_time TIMESTAMP_LTZ(3)) WITH ('connector' = 'blackhole')")
env.execute_sql(f"INSERT INTO nothing SELECT `value`, event_time FROM {tables.CLICKS}")
