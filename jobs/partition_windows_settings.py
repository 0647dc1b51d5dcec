"""The settings of the job of the partition windows.

They come from the arguments, the environment (`PARTITION_WINDOWS_BUCKETS`) and the section `partition-windows`
of `$FLINK_CONF_DIR/config.yaml`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from jobs.setting_types import DeploymentName, PositiveDuration, Topic
from jobs.settings import JobSettings, load_as, require

SECTION = "partition-windows"


class WindowSettings(JobSettings):
    """The settings of the job; times of events are in milliseconds, like the window."""

    deployment: DeploymentName = "partition-windows"
    events_topic: Topic = "window-events"
    watermarks_topic: Topic = "window-watermarks"
    windows_topic: Topic = "windows"
    refused_topic: Topic = "windows-refused"

    max_pending_bytes: Annotated[int, Field(ge=1, le=2**30)] = 16 * 1024 * 1024
    """Bytes of one partition's events that may wait; no record in `windows_topic` is much larger."""
    idle_timeout: PositiveDuration | None = None
    """A partition that states nothing for so long holds the others back no more; without it, it does for ever."""
    unknown_timeout: PositiveDuration = timedelta(minutes=1)
    """So long an event waits for its partition to be added: the two topics are read at different speed."""


def load(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> WindowSettings:
    """Read, merge and validate the settings, by default of this process; raises `SettingsError`."""
    s = load_as(WindowSettings, SECTION, arguments, environment)
    topics = {s.events_topic, s.watermarks_topic, s.windows_topic, s.refused_topic}
    require([(len(topics) == 4, "events_topic: the four topics must have different names")])
    return s
