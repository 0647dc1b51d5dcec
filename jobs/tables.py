"""Sources and sinks in Kafka as DDL: the only place that names it. Files are in `jobs.files`."""

from datetime import timedelta

from jobs.event_time import event_time
from jobs.kafka_connection import kafka_properties
from jobs.partition_windows_settings import WindowSettings
from jobs.setting_types import milliseconds
from jobs.settings import JobSettings, Settings

CLICKS, COUNTS, TOP, LATE, INVALID, LEDGER = "clicks", "counts", "top_ads", "late", "invalid", "ledger"
COUNTS_BY_COUNTRY = "counts_by_country"
WINDOW_EVENTS, STATEMENTS, WINDOWS, REFUSED = "window_events", "window_statements", "windows", "refused"
"""The tables' names in the jobs."""

_RECORD_COLUMNS = """
          `key` BYTES,
          `value` BYTES,
          `topic` STRING METADATA VIRTUAL,
          `partition` INT METADATA VIRTUAL,
          `offset` BIGINT METADATA VIRTUAL,
          `timestamp` TIMESTAMP_LTZ(3) METADATA VIRTUAL"""
_BYTES_FORMATS = {
    "key.format": "raw",
    "key.fields": "key",
    "value.format": "raw",
    "value.fields-include": "EXCEPT_KEY",
}
_ORIGIN_COLUMNS = "`key` BYTES, `value` BYTES, `headers` MAP<STRING NOT NULL, BYTES> METADATA"
_COUNTED = "window_start BIGINT, window_end BIGINT, clicks BIGINT, version BIGINT, source STRING"
_COUNT_COLUMNS = f"ad_id STRING, {_COUNTED}"
_BY_COUNTRY_COLUMNS = f"ad_id STRING, country STRING, {_COUNTED}"
_NO_CLIENT_METRICS = {f"register.{client}.metrics": "false" for client in ("consumer", "producer")}
"""What Kafka's clients say of themselves: hundreds of metrics that nobody asks for, and each collection has to read."""
_MANY_AT_ONCE = {"properties.max.poll.records": "2000"}
"""Records that the source's thread hands over at a time: with Kafka's 500, hundreds of times a second at peak."""
_COMMITTED = {"properties.isolation.level": "read_committed"}
MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""Larger than any record that a broker takes: an invalid value goes out as it came in, whatever its size."""
_FEWER_UPDATES = {"sink.buffer-flush.max-rows": "10000", "sink.buffer-flush.interval": "1 s"}


def clicks(settings: Settings) -> str:
    """Return the DDL of the raw clicks with their event time and a watermark per Kafka partition."""
    idle_timeout = {"scan.watermark.idle-timeout": f"{milliseconds(settings.idle_timeout)} ms"}
    options = _bytes_source(settings, settings.clicks_topic) | idle_timeout
    return f"""
        CREATE TABLE {CLICKS} (
          {_RECORD_COLUMNS},
          event_time AS {event_time(settings.max_clock_skew)},
          WATERMARK FOR event_time AS event_time - {interval(settings.out_of_orderness)}
        ) WITH ({_with(options)})"""


def raw_records(settings: Settings, since: int | None = None) -> str:
    """Return the DDL of the records of the clicks topic as they are, from the first one or a timestamp in epoch ms."""
    options = _bytes_source(settings, settings.clicks_topic) | ({} if since is None else _bounded_since(since))
    return f"CREATE TABLE {CLICKS} ({_RECORD_COLUMNS}) WITH ({_with(options)})"


def published_counts(settings: Settings, since: int) -> str:
    """Return the DDL of the counts in their topic, as far as they were published since a timestamp in epoch ms."""
    options = {"topic": settings.counts_topic, "format": "json", **_bounded_since(since)}
    columns = f"{_COUNT_COLUMNS}, `offset` BIGINT METADATA VIRTUAL"
    return f"CREATE TABLE {COUNTS} ({columns}) WITH ({_with(_connection(settings) | options | _COMMITTED)})"


def late_clicks(settings: Settings, since: int) -> str:
    """Return the DDL of the late clicks' values in their topic, sent there since a timestamp in epoch ms."""
    options = {"topic": settings.late_topic, "format": "raw", **_bounded_since(since)}
    return f"CREATE TABLE {LATE} (`value` BYTES) WITH ({_with(_connection(settings) | options | _COMMITTED)})"


def window_sources(settings: WindowSettings) -> list[str]:
    """Return the DDL of the events and of the statements: bytes and origin. Nothing is guessed about their time."""
    topics = {WINDOW_EVENTS: settings.events_topic, STATEMENTS: settings.watermarks_topic}
    return [
        f"CREATE TABLE {name} ({_RECORD_COLUMNS}) WITH ({_with(_bytes_source(settings, topic))})"
        for name, topic in topics.items()
    ]


def sinks(settings: Settings) -> dict[str, str]:
    """Return the DDL of the result tables by name, all of them exactly-once."""
    top = "window_start BIGINT, `rank` BIGINT, window_end BIGINT, ad_id STRING, clicks BIGINT"
    terms = "`raw` BIGINT, counted BIGINT, duplicate BIGINT, late BIGINT, invalid BIGINT, version BIGINT"
    ledger = f"window_start BIGINT, window_end BIGINT, {terms}, PRIMARY KEY (window_start) NOT ENFORCED"
    sinks = {
        COUNTS: _json_sink(settings, COUNTS, settings.counts_topic, _COUNT_COLUMNS, "ad_id;window_start"),
        TOP: _json_sink(settings, TOP, settings.top_topic, top, "window_start;rank"),
        LATE: _bytes_sink(settings, LATE, settings.late_topic),
        INVALID: _bytes_sink(settings, INVALID, settings.invalid_topic),
        LEDGER: _upsert_sink(settings, LEDGER, settings.ledger_topic, ledger),
    }
    if settings.by_country:
        columns, key = _BY_COUNTRY_COLUMNS, "ad_id;country;window_start"
        sinks[COUNTS_BY_COUNTRY] = _json_sink(settings, COUNTS_BY_COUNTRY, settings.country_topic, columns, key)
    return sinks


def window_sinks(settings: WindowSettings) -> dict[str, str]:
    """Return the DDL of the windows and the refused records by name, both exactly-once."""
    return {
        WINDOWS: _bytes_sink(settings, WINDOWS, settings.windows_topic, "`key` BYTES, `value` BYTES"),
        REFUSED: _bytes_sink(settings, REFUSED, settings.refused_topic),
    }


def interval(duration: timedelta) -> str:
    """Return a duration as an SQL interval, to the millisecond."""
    seconds, ms = divmod(milliseconds(duration), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"INTERVAL '{days} {hours:02}:{minutes:02}:{seconds:02}.{ms:03}' DAY TO SECOND(3)"


def headers(topic: str, reason: str) -> str:
    """Return the SQL map of the headers of a record that is refused; `reason` is an SQL expression."""
    texts = {
        "reason": reason,
        "topic": _literal(topic),
        "partition": "CAST(`partition` AS STRING)",
        "offset": "CAST(`offset` AS STRING)",
        "timestamp": "CAST(`timestamp` AS STRING)",
    }
    pairs = ", ".join(f"'clickproof.{name}', ENCODE({text}, 'UTF-8')" for name, text in texts.items())
    return f"MAP[{pairs}]"


def _bounded_since(timestamp: int) -> dict[str, str]:
    start = {"scan.startup.mode": "timestamp", "scan.startup.timestamp-millis": str(timestamp)}
    return {**start, "scan.bounded.mode": "latest-offset"}


def _json_sink(settings: JobSettings, name: str, topic: str, columns: str, key: str) -> str:
    options = {"key.format": "json", "key.fields": key, "value.format": "json"}
    return _sink(settings, name, columns, {"connector": "kafka", "topic": topic} | options)


def _upsert_sink(settings: JobSettings, name: str, topic: str, columns: str) -> str:
    options = {"key.format": "json", "value.format": "json"} | _FEWER_UPDATES
    return _sink(settings, name, columns, {"connector": "upsert-kafka", "topic": topic} | options)


def _bytes_source(settings: JobSettings, topic: str) -> dict[str, str]:
    options = {
        "topic": topic,
        "properties.group.id": settings.deployment,
        "scan.startup.mode": "earliest-offset",
        **_COMMITTED,
        **_MANY_AT_ONCE,
    }
    bounded = {"scan.bounded.mode": "latest-offset"} if settings.bounded else {}
    return _connection(settings) | options | bounded | _BYTES_FORMATS


def _bytes_sink(settings: JobSettings, name: str, topic: str, columns: str = _ORIGIN_COLUMNS) -> str:
    return _sink(settings, name, columns, {"connector": "kafka", "topic": topic} | _BYTES_FORMATS)


def _sink(settings: JobSettings, name: str, columns: str, options: dict[str, str]) -> str:
    exactly_once = {
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": f"{settings.deployment}-{name}",
        "properties.transaction.timeout.ms": str(milliseconds(settings.transaction_timeout)),
        "properties.max.request.size": str(MAX_REQUEST_BYTES),
    }
    return f"CREATE TABLE {name} ({columns}) WITH ({_with(_connection(settings) | options | exactly_once)})"


def _connection(settings: JobSettings) -> dict[str, str]:
    properties = kafka_properties(settings) | _NO_CLIENT_METRICS
    return {"connector": "kafka"} | {f"properties.{name}": value for name, value in properties.items()}


def _with(options: dict[str, str]) -> str:
    return ", ".join(f"{_literal(name)} = {_literal(value)}" for name, value in options.items())


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
