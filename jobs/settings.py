"""Every knob of the jobs, validated once at start; the only reader of configuration file, environment and arguments.

A setting is looked for, in this order, in the arguments (`--out-of-orderness '5 s'`), the environment
(`CLICKPROOF_OUT_OF_ORDERNESS`), the section `clickproof` of `$FLINK_CONF_DIR/config.yaml` (`out-of-orderness: 5 s`).
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from ruamel.yaml import YAML

ENVIRONMENT_PREFIX = "CLICKPROOF_"
OTHER_PREFIXES = ("CLICKPROOF_LOCAL_", "CLICKPROOF_SERVING_")
"""Names that start so belong to the local stack and the serving side, not to the jobs."""
SECRETS = frozenset({"sasl_password"})
"""Settings that are never taken from arguments, where any user of the machine could read them."""

_UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
_DURATION = re.compile(r"(\d+)\s*(ms|s|min|h)")


class SettingsError(ValueError):
    """A setting that cannot be used: one sentence that names it."""


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


Duration = Annotated[timedelta, BeforeValidator(_duration)]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class Settings(BaseModel):
    """The settings of the streaming job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deployment: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,100}$")] = "clickproof"
    """Names the job, its consumer group and its transactions; two jobs on one broker must differ in it."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    clicks_topic: Topic = "clicks"
    counts_topic: Topic = "clicks-per-minute"
    top_topic: Topic = "clicks-top"
    late_topic: Topic = "clicks-late"
    invalid_topic: Topic = "clicks-invalid"
    ledger_topic: Topic = "clicks-ledger"
    bounded: bool = False
    """Stop at the offsets that are the topic's end at start, and publish every window."""

    out_of_orderness: Duration = timedelta(seconds=5)
    idle_timeout: PositiveDuration = timedelta(seconds=30)
    max_clock_skew: Duration = timedelta(minutes=5)
    window: PositiveDuration = timedelta(minutes=1)
    dedupe_horizon: PositiveDuration = timedelta(minutes=10)
    top_ads: Annotated[int, Field(ge=1, le=10_000)] = 100

    buckets: Annotated[int, Field(ge=1, le=32_768)] = 16
    """Keys of the dedupe state, at least as many as the parallelism; fixed for the life of the state."""
    parallelism: Annotated[int, Field(ge=1)] = 2

    checkpoint_interval: PositiveDuration = timedelta(seconds=10)
    transaction_timeout: PositiveDuration = timedelta(minutes=15)

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    ssl_ca_file: Path | None = None
    """PEM file of the authorities that may sign the brokers' certificates; the system's own when absent."""


def load(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read, merge and validate the settings, by default of this process; raises `SettingsError`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    environment = os.environ if environment is None else environment
    values = _from_file(environment) | _from_environment(environment) | _from_arguments(arguments)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as invalid:
        raise SettingsError(_first_error(invalid)) from None
    _check_together(settings)
    return settings


def milliseconds(duration: timedelta) -> int:
    """Return a duration in whole milliseconds."""
    return duration // timedelta(milliseconds=1)


def sasl_password(settings: Settings) -> str:
    """Return the SASL password, from the environment or the mounted file."""
    if settings.sasl_password is not None:
        return settings.sasl_password.get_secret_value()
    if settings.sasl_password_file is None:
        raise SettingsError("sasl_password: set CLICKPROOF_SASL_PASSWORD or sasl_password_file")
    try:
        return settings.sasl_password_file.read_text().strip()
    except OSError as error:
        raise SettingsError(f"sasl_password_file: {error.strerror}: {settings.sasl_password_file}") from None


def _from_file(environment: Mapping[str, str]) -> dict[str, Any]:
    folder = environment.get("FLINK_CONF_DIR")
    path = Path(folder or "") / "config.yaml"
    if not folder or not path.is_file():
        return {}
    section = (YAML(typ="safe", pure=True).load(path) or {}).get("clickproof") or {}
    return {_setting_name(key): value for key, value in section.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and not name.startswith(OTHER_PREFIXES)
    }


def _from_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """Read `--name value` pairs; a name without a value switches it on."""
    values: dict[str, str] = {}
    name = None
    for word in arguments:
        if word.startswith("--"):
            name = _setting_name(word.removeprefix("--"))
            values[name] = "true"
        elif name is not None:
            values[name], name = word, None
        else:
            raise SettingsError(f"{word}: an argument must follow the name of its setting, as in --parallelism 2")
    for secret in SECRETS & values.keys():
        raise SettingsError(f"{secret}: a secret is taken from the environment or a file, never from the arguments")
    return values


def _setting_name(key: str) -> str:
    return key.replace("-", "_")


def _first_error(invalid: ValidationError) -> str:
    error = invalid.errors(include_url=False, include_input=False)[0]
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{name}: no such setting"
    return f"{name}: {error['msg'].removeprefix('Value error, ')}"


def _check_together(settings: Settings) -> None:
    """Refuse combinations that would count wrongly or lose commits."""
    s = settings
    rules = [
        (s.dedupe_horizon >= s.window, "dedupe_horizon: must not be shorter than window"),
        (s.dedupe_horizon % s.window == timedelta(), "dedupe_horizon: must be a whole number of windows"),
        (s.buckets >= s.parallelism, "buckets: must not be fewer than parallelism"),
        (
            s.transaction_timeout > s.checkpoint_interval,
            "transaction_timeout: must be longer than checkpoint_interval, or commits are lost",
        ),
        (s.idle_timeout > s.out_of_orderness, "idle_timeout: must be longer than out_of_orderness"),
        (len({s.clicks_topic, *_result_topics(s)}) == 6, "clicks_topic: the six topics must have different names"),
        (not _has_sasl(s) or bool(s.sasl_mechanism), "sasl_mechanism: needed for security_protocol SASL_*"),
        (not _has_sasl(s) or bool(s.sasl_username), "sasl_username: needed for security_protocol SASL_*"),
        (_has_sasl(s) or not s.sasl_mechanism, "sasl_mechanism: needs security_protocol SASL_PLAINTEXT or SASL_SSL"),
    ]
    for holds, sentence in rules:
        if not holds:
            raise SettingsError(sentence)
    if _has_sasl(s):
        sasl_password(s)


def _result_topics(settings: Settings) -> list[str]:
    s = settings
    return [s.counts_topic, s.top_topic, s.late_topic, s.invalid_topic, s.ledger_topic]


def _has_sasl(settings: Settings) -> bool:
    return settings.security_protocol.startswith("SASL_")
