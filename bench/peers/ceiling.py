"""What the source alone can do: the same records and the same watermark, thrown away. A Flink job."""

import json
import sys

from pyflink.table import EnvironmentSettings, TableEnvironment

task = json.loads(sys.argv[1])
env = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
env.get_config().set("parallelism.default", str(task["parallelism"]))
env.get_config().set("execution.checkpointing.interval", "10 s")
env.execute_sql(f"""
    CREATE TABLE clicks (
      `value` STRING,
      event_time AS TO_TIMESTAMP_LTZ(CAST(JSON_VALUE(`value`, '$.click_timestamp') AS BIGINT), 3),
      WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND
    ) WITH ('connector' = 'kafka', 'topic' = '{task["topic"]}', 'format' = 'raw',
      'properties.bootstrap.servers' = '{task["bootstrap_servers"]}', 'properties.group.id' = '{task["name"]}',
      'properties.register.consumer.metrics' = 'false',
      'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset')""")
env.execute_sql("CREATE TABLE nothing (`value` STRING, event_time TIMESTAMP_LTZ(3)) WITH ('connector' = 'blackhole')")
env.execute_sql("INSERT INTO nothing SELECT `value`, event_time FROM clicks")
