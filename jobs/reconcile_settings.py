"""The reconciliation's own settings, on top of those that all jobs share."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from jobs.setting_types import milliseconds
from jobs.settings import Settings, load_clicks

Url = Annotated[str, Field(pattern=r"^[a-z0-9]+:/")]
ALL_TIME = 2**53 // 86_400_000 * 86_400_000
"""A midnight after any time."""


class ReconcileSettings(Settings):
    """What is reconciled with what; times in epoch milliseconds, files and directories by URL."""

    span_from: Annotated[int, Field(ge=0)] = 0
    span_to: int = ALL_TIME
    """The windows that start in [span_from, span_to)."""
    source: Literal["archive", "kafka"] = "archive"
    """Where the records come from."""
    archive_since: str | None = None
    """First hour to be read of an archive with a folder for each; without it the whole directory is read."""
    counts_file: Url | None = None
    """Parquet files of the published counts; the topic when absent."""
    late_file: Url | None = None
    """Parquet files of the late clicks; the topic when absent."""
    results: Url
    """An empty or new directory."""
    bounded: Literal[True] = True

    @model_validator(mode="after")
    def _whole_windows(self) -> Self:
        window = milliseconds(self.window)
        if self.span_from % window or self.span_to % window:
            raise ValueError("span_from: a span must begin and end with a window")
        if self.span_to < self.span_from:
            raise ValueError("span_to: must not be before span_from")
        return self

    @property
    def read_since(self) -> int:
        """The earliest record timestamp that matters.

        No click is valid that was sent more than `max_clock_skew` before its own time; those of the dedupe horizon
        before the span tell which of its clicks are copies of earlier ones.
        """
        return max(self.span_from - milliseconds(self.max_clock_skew) - milliseconds(self.dedupe_horizon), 0)


def load(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> ReconcileSettings:
    """Read and validate the settings, by default of this process; raises `SettingsError`."""
    return load_clicks(ReconcileSettings, arguments, environment)
