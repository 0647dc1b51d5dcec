"""Sources and sinks in Parquet files as DDL: the only place that names them."""

from jobs.reconcile_settings import ReconcileSettings
from jobs.setting_types import milliseconds
from jobs.settings import Settings

ARCHIVE = "archive"
_ARCHIVED = """
    `key` BYTES, `value` BYTES, `topic` STRING, `partition` INT, `offset` BIGINT, `timestamp` BIGINT"""
COUNT_COLUMNS = "ad_id STRING, window_start BIGINT, clicks BIGINT, version BIGINT"
LATE_COLUMNS = "`value` BYTES"
RESULTS: dict[str, dict[str, str]] = {
    "coverage": {
        "topic": "STRING",
        "partition": "INT",
        "first_offset": "BIGINT",
        "last_offset": "BIGINT",
        "last_timestamp": "BIGINT",
        "repeats": "BIGINT",
        "first_twofold": "BIGINT",
        "last_twofold": "BIGINT",
    },
    "gaps": {"topic": "STRING", "partition": "INT", "first_offset": "BIGINT", "last_offset": "BIGINT"},
    "late": {"window_start": "BIGINT", "records": "BIGINT"},
    "cells": {
        "window_start": "BIGINT",
        "ad_id": "STRING",
        "published": "BIGINT",
        "version": "BIGINT",
        "exact": "BIGINT",
        "late": "BIGINT",
    },
    "spread": {
        "high": "BIGINT",
        "low": "BIGINT",
        "window_start": "BIGINT",
        "ad_id": "STRING",
        "copies": "BIGINT",
        "late": "BIGINT",
        "arrived": "BIGINT",
        "position": "BIGINT",
        "nth": "BIGINT",
        "places": "BIGINT",
    },
}
"""The reconciliation's results: a folder each, and its columns."""
HOUR_SQL, HOUR_FORMAT = "yyyy-MM-dd''T''HH", "%Y-%m-%dT%H"
"""The UTC hour that names an archive's folder, as SQL formats it and as Python does."""


def archive(settings: Settings, partitioned: bool = True) -> str:
    """Return the DDL of the archive: records as they came, `timestamp` in epoch ms.

    Its files are closed with each checkpoint, and when they are large. One that is `partitioned` has a folder for each
    hour; any archive can be read as one that is not.
    """
    hour, by_hour = (", `hour` STRING", "PARTITIONED BY (`hour`)") if partitioned else ("", "")
    rolling = {
        "sink.rolling-policy.file-size": settings.archive_file_size,
        "sink.rolling-policy.rollover-interval": f"{milliseconds(settings.archive_roll_interval)} ms",
    }
    return f"CREATE TABLE {ARCHIVE} ({_ARCHIVED}{hour}) {by_hour} WITH ({_with(settings.archive, rolling)})"


def result(name: str, settings: ReconcileSettings) -> str:
    """Return the DDL of the table `{name}_result`, one of the `RESULTS`."""
    columns = ", ".join(f"`{column}` {type_}" for column, type_ in RESULTS[name].items())
    return parquet(f"{name}_result", columns, f"{settings.results}/{name}")


def parquet(name: str, columns: str, url: str) -> str:
    """Return the DDL of a table in Parquet files in the directory at `url`."""
    return f"CREATE TABLE {name} ({columns}) WITH ({_with(url, {})})"


def _with(url: str, options: dict[str, str]) -> str:
    every = {"connector": "filesystem", "format": "parquet", "parquet.compression": "ZSTD", "path": url, **options}
    return ", ".join("'{}' = '{}'".format(name, value.replace("'", "''")) for name, value in every.items())
