"""The same counts in Spark Structured Streaming: dropDuplicatesWithinWatermark, state in RocksDB, a Kafka sink.

Spark commits its state with each batch: so many clicks make one that it takes some ten seconds to work on them.
"""

import json
import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as Spark's documentation has it
from workers import Progress

BATCH = 400_000
SCHEMA = "click_id string, ad_id string, user_id string, click_timestamp bigint, ip string, country string"
STATE_STORE = "spark.sql.streaming.stateStore"

task = json.loads(sys.argv[1])
home = Path(task["home"])
kafka = {"kafka.bootstrap.servers": task["bootstrap_servers"]}
builder = SparkSession.builder.appName(task["name"]).master(f"local[{task['parallelism']}]")
for option, value in {
    "spark.jars": ",".join(map(str, Path(os.environ["PEERS_JARS"]).glob("*.jar"))),
    "spark.local.dir": home / "local",
    "spark.driver.memory": "3g",  # and RocksDB's: together a TaskManager's 4 GB, of which state has 1 GB
    f"{STATE_STORE}.rocksdb.boundedMemoryUsage": "true",
    f"{STATE_STORE}.rocksdb.maxMemoryUsageMB": "1000",
    f"{STATE_STORE}.rocksdb.changelogCheckpointing.enabled": "true",
    f"{STATE_STORE}.providerClass": "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
    "spark.sql.shuffle.partitions": task["parallelism"],
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}.items():
    builder = builder.config(option, str(value))
spark = builder.getOrCreate()
records = (
    spark.readStream.format("kafka")
    .options(**kafka, subscribe=task["topic"], startingOffsets="earliest", maxOffsetsPerTrigger=BATCH)
    .load()
)
click = F.from_json(F.col("value").cast("string"), SCHEMA)
identity = F.coalesce(
    F.concat(F.lit("c"), "click_id"),
    F.concat(F.lit("t"), F.concat_ws("|", F.col("click_timestamp").cast("string"), "user_id", "ad_id", "ip")),
)
unique = (
    records.select(click.alias("click"))
    .select("click.*")
    .select("ad_id", F.timestamp_millis("click_timestamp").alias("event_time"), F.md5(identity).alias("identity"))
    .withWatermark("event_time", "5 seconds")
    .dropDuplicatesWithinWatermark(["identity"])
)
counts = unique.groupBy(F.window("event_time", "1 minute"), "ad_id").agg(F.count("*").alias("clicks"))
query = (
    counts.select(
        F.to_json(F.struct("ad_id", F.unix_millis("window.start").alias("window_start"), "clicks")).alias("value")
    )
    .writeStream.format("kafka")
    .options(**kafka, topic=task["counts_topic"], checkpointLocation=str(home / "checkpoints"))
    .outputMode("append")
    .trigger(availableNow=True)
    .start()
)
progress = Progress(home / "records")
while not query.awaitTermination(0.5):
    progress.tell(sum(batch["numInputRows"] for batch in query.recentProgress))
progress.tell(sum(batch["numInputRows"] for batch in query.recentProgress))
