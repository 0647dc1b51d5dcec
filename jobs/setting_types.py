"""What a setting can be: a duration, a topic, a job's name, dimensions; each refused with a sentence of its own."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

_UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
_DURATION = re.compile(r"(\d+)\s*(ms|s|min|h)")


def _duration(text: object) -> object:
    if not isinstance(text, str):
        return text
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is no duration such as '500 ms', '5 s', '10 min' or '1 h'")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta():
        raise ValueError("must be longer than nothing")
    return duration


def _names(text: object) -> object:
    return [name.strip() for name in text.split(",") if name.strip()] if isinstance(text, str) else text


def _dimensions(names: frozenset[str]) -> frozenset[str]:
    if unknown := sorted(names - {COUNTRY}):
        raise ValueError(f"clicks can be counted by {COUNTRY}, not by '{unknown[0]}'")
    return names


Duration = Annotated[timedelta, BeforeValidator(_duration)]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
DeploymentName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,100}$")]
COUNTRY = "country"
Dimensions = Annotated[frozenset[str], BeforeValidator(_names), AfterValidator(_dimensions)]
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


def milliseconds(duration: timedelta) -> int:
    """Return a duration in whole milliseconds."""
    return duration // timedelta(milliseconds=1)


def epoch_milliseconds(time: datetime) -> int:
    """Return a time with a zone in epoch milliseconds."""
    return milliseconds(time - datetime.fromtimestamp(0, UTC))
