"""The same counts in Flink SQL: deduplication by ROW_NUMBER, tumbling windows, an exactly-once sink. A Flink job.

It validates nothing and keeps no ledger. Dedupe keeps the first row by processing time, which Flink's documentation
has as the cheap one: no retraction, and a state that is one flag for an identity.
"""

import json
import sys

from pyflink.table import EnvironmentSettings, TableEnvironment

task = json.loads(sys.argv[1])
kafka = f"""'connector' = 'kafka', 'format' = 'json', 'properties.bootstrap.servers' = '{task["bootstrap_servers"]}',
      'properties.register.consumer.metrics' = 'false', 'properties.register.producer.metrics' = 'false'"""
env = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
for option, value in {
    "parallelism.default": task["parallelism"],
    "execution.checkpointing.interval": "10 s",
    "pipeline.object-reuse": "true",
    "table.exec.state.ttl": "10 min",
    "table.optimizer.agg-phase-strategy": "TWO_PHASE",
    **task.get("options", {}),
}.items():
    env.get_config().set(option, str(value))
env.execute_sql(f"""
    CREATE TABLE clicks (
      click_id STRING, ad_id STRING, user_id STRING, click_timestamp BIGINT, ip STRING, country STRING,
      event_time AS TO_TIMESTAMP_LTZ(click_timestamp, 3), arrival AS PROCTIME(),
      WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND
    ) WITH ({kafka}, 'topic' = '{task["topic"]}', 'properties.group.id' = '{task["name"]}',
      'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset')""")
env.execute_sql(f"""
    CREATE TABLE counts (ad_id STRING, window_start BIGINT, clicks BIGINT)
    WITH ({kafka}, 'topic' = '{task["counts_topic"]}', 'sink.delivery-guarantee' = 'exactly-once',
      'sink.transactional-id-prefix' = '{task["name"]}', 'properties.transaction.timeout.ms' = '900000')""")
env.execute_sql("""
    CREATE TEMPORARY VIEW unique_clicks AS SELECT ad_id, event_time FROM (
      SELECT ad_id, event_time, ROW_NUMBER() OVER (PARTITION BY MD5(COALESCE('c' || click_id,
        't' || CAST(click_timestamp AS STRING) || '|' || user_id || '|' || ad_id || '|' || ip)) ORDER BY arrival) AS n
      FROM clicks) WHERE n = 1""")
env.execute_sql("""
    INSERT INTO counts
    SELECT ad_id, UNIX_TIMESTAMP(DATE_FORMAT(window_start, 'yyyy-MM-dd HH:mm:ss')) * 1000, COUNT(*)
    FROM TABLE(TUMBLE(TABLE unique_clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
    GROUP BY ad_id, window_start, window_end""")
