"""The PyFlink job that a tutorial would write: a function for each click. A Flink job."""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from pyflink.common import Configuration, Duration, Time, Types, WatermarkStrategy
from pyflink.common.serialization import SimpleStringSchema
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import KeyedProcessFunction, ProcessWindowFunction, StreamExecutionEnvironment
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from pyflink.datastream.functions import AggregateFunction
from pyflink.datastream.state import ValueStateDescriptor
from pyflink.datastream.window import TumblingEventTimeWindows

Click = tuple[str, str, int]  # identity, ad, click_timestamp
CLICK = Types.TUPLE([Types.STRING(), Types.STRING(), Types.LONG()])
HORIZON = 600_000


def parse(value: str) -> Click:
    """Read a click."""
    click = json.loads(value)
    fields = (click[name] for name in ("click_timestamp", "user_id", "ad_id", "ip"))
    text = click.get("click_id") or "|".join(map(str, fields))
    return hashlib.md5(text.encode()).hexdigest(), click["ad_id"], click["click_timestamp"]


class ClickTime(TimestampAssigner):  # type: ignore[misc]
    """Event time."""

    def extract_timestamp(self, value: Click, record_timestamp: int) -> int:
        """Return it."""
        return value[2]


class Dedupe(KeyedProcessFunction):  # type: ignore[misc]
    """Keeps the first click of an identity."""

    def open(self, runtime_context: Any) -> None:
        """Connect to the state."""
        self.seen = runtime_context.get_state(ValueStateDescriptor("seen", Types.BOOLEAN()))

    def process_element(self, value: Click, ctx: KeyedProcessFunction.Context) -> Iterator[Click]:
        """Pass a new one on."""
        if self.seen.value() is None:
            self.seen.update(True)
            ctx.timer_service().register_event_time_timer(value[2] + HORIZON)
            yield value

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterable[Click]:
        """Forget it."""
        self.seen.clear()
        return ()


class Count(AggregateFunction):  # type: ignore[misc]
    """Counts clicks."""

    def create_accumulator(self) -> int:
        """Begin."""
        return 0

    def add(self, value: Click, accumulator: int) -> int:
        """Count one."""
        return accumulator + 1

    def get_result(self, accumulator: int) -> int:
        """End."""
        return accumulator

    def merge(self, a: int, b: int) -> int:
        """Add up."""
        return a + b


class Publishable(ProcessWindowFunction):  # type: ignore[misc]
    """Adds the window to its count."""

    def process(self, key: str, context: ProcessWindowFunction.Context, elements: Iterable[int]) -> Iterator[str]:
        """Return the count as JSON."""
        for clicks in elements:
            yield json.dumps({"ad_id": key, "window_start": context.window().start, "clicks": clicks})


def main(task: dict[str, Any]) -> None:
    """Run the job."""
    configuration = Configuration()
    configuration.set_string("python.execution-mode", task["mode"])
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    env.set_parallelism(task["parallelism"])
    env.enable_checkpointing(10_000)
    source = (
        KafkaSource.builder()
        .set_bootstrap_servers(task["bootstrap_servers"])
        .set_topics(task["topic"])
        .set_group_id(task["name"])
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_bounded(KafkaOffsetsInitializer.latest())
        .set_value_only_deserializer(SimpleStringSchema())
        .build()
    )
    serializer = KafkaRecordSerializationSchema.builder().set_topic(task["counts_topic"])
    sink = (
        KafkaSink.builder()
        .set_bootstrap_servers(task["bootstrap_servers"])
        .set_record_serializer(serializer.set_value_serialization_schema(SimpleStringSchema()).build())
        .build()
    )
    watermarks = (
        WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(5))
        .with_idleness(Duration.of_seconds(30))
        .with_timestamp_assigner(ClickTime())
    )
    (
        env.from_source(source, WatermarkStrategy.no_watermarks(), "clicks")
        .map(parse, output_type=CLICK)
        .assign_timestamps_and_watermarks(watermarks)
        .key_by(lambda click: click[0], key_type=Types.STRING())
        .process(Dedupe(), output_type=CLICK)
        .key_by(lambda click: click[1], key_type=Types.STRING())
        .window(TumblingEventTimeWindows.of(Time.minutes(1)))
        .aggregate(Count(), Publishable(), accumulator_type=Types.LONG(), output_type=Types.STRING())
        .sink_to(sink)
    )
    env.execute(task["name"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
