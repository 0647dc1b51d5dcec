"""Every knob of the jobs, validated once at start; where they are looked for is in `jobs.setting_sources`."""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from jobs.setting_sources import SettingsError, from_arguments, from_environment, from_file
from jobs.setting_types import COUNTRY, DeploymentName, Dimensions, Duration, PositiveDuration, Topic
from udfs.blocklist import Blocklist, BlocklistError, read_blocklist

SECTION = "clickproof"


class JobSettings(BaseModel):
    """What every job must be told: its name, its broker, its checkpoints."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deployment: DeploymentName
    """Names the job, its consumer group and its transactions; two jobs on one broker must differ in it."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    bounded: bool = False
    """Stop at the offsets that are the topics' ends at start, and publish every window that is complete."""

    window: PositiveDuration = timedelta(minutes=1)
    buckets: Annotated[int, Field(ge=1, le=32_768)] = 16
    """Keys of the state, at least as many as the parallelism; fixed for the life of the state."""
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


class Settings(JobSettings):
    """The settings of the jobs about clicks; bounded, the streaming job publishes every window."""

    deployment: DeploymentName = "clickproof"
    clicks_topic: Topic = "clicks"
    counts_topic: Topic = "clicks-per-minute"
    top_topic: Topic = "clicks-top"
    late_topic: Topic = "clicks-late"
    invalid_topic: Topic = "clicks-invalid"
    ledger_topic: Topic = "clicks-ledger"
    country_topic: Topic = "clicks-per-minute-country"

    out_of_orderness: Duration = timedelta(seconds=5)
    idle_timeout: PositiveDuration = timedelta(seconds=30)
    max_clock_skew: Duration = timedelta(minutes=5)
    dedupe_horizon: PositiveDuration = timedelta(minutes=10)
    max_identities_in_memory: Annotated[int, Field(ge=0)] = 15_000_000
    """Of each subtask, up to 48 bytes each; the oldest windows' are read from RocksDB when there are more."""
    top_ads: Annotated[int, Field(ge=1, le=10_000)] = 100
    closed_until: AwareDatetime | None = None
    """Windows that end by this time are closed from the start, for a job without state beside counts of an earlier one:
    what comes for them is late, and their counts stay as they are."""
    blocklist: Path | None = None
    """CSV file of what is not to be counted (`udfs.blocklist`), read once, where the job is submitted."""
    dimensions: Dimensions = frozenset()
    """By what the clicks of an ad are counted too: `country`, into its own topic, or nothing."""

    archive: Annotated[str, Field(pattern=r"^[a-z0-9]+:/")] = "file:///opt/clickproof/archive"
    """URL of the archive's directory, on any file system that Flink reads and writes."""
    archive_roll_interval: PositiveDuration = timedelta(minutes=5)
    """The archive's checkpoint interval: with each checkpoint its files are closed and can be read."""
    archive_file_size: Annotated[str, Field(pattern=r"^\d+ ?[kmg]b$")] = "256mb"
    """A file of this size is closed before its time."""

    @property
    def by_country(self) -> bool:
        """Whether the clicks of an ad are counted by country too."""
        return COUNTRY in self.dimensions

    @property
    def topic_settings(self) -> list[str]:
        """The names of the settings that name a topic of the streaming job."""
        names = [name for name in Settings.model_fields if name.endswith("_topic")]
        return [name for name in names if name != "country_topic" or self.by_country]


Model = TypeVar("Model", bound=JobSettings)
ClickModel = TypeVar("ClickModel", bound=Settings)


def load(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read, merge and validate the settings, by default of this process; raises `SettingsError`."""
    return load_clicks(Settings, arguments, environment)


def load_clicks(
    model: type[ClickModel], arguments: Sequence[str] | None, environment: Mapping[str, str] | None
) -> ClickModel:
    """Do the same for a job about clicks with settings of its own."""
    settings = load_as(model, SECTION, arguments, environment)
    require(_click_rules(settings))
    return settings


def load_as(
    model: type[Model], section: str, arguments: Sequence[str] | None, environment: Mapping[str, str] | None
) -> Model:
    """Read a job's settings, and check what holds for all jobs; the environment's prefix is the section's name."""
    arguments = sys.argv[1:] if arguments is None else arguments
    environment = os.environ if environment is None else environment
    values = from_file(section, environment) | from_environment(section, environment) | from_arguments(arguments)
    try:
        settings = model.model_validate(values)
    except ValidationError as invalid:
        raise SettingsError(_first_error(invalid)) from None
    require(_common_rules(settings))
    if _has_sasl(settings):
        sasl_password(settings)
    return settings


def sasl_password(settings: JobSettings) -> str:
    """Return the SASL password, from the environment or the mounted file."""
    if settings.sasl_password is not None:
        return settings.sasl_password.get_secret_value()
    if settings.sasl_password_file is None:
        raise SettingsError("sasl_password: set it in the environment, or sasl_password_file")
    try:
        return settings.sasl_password_file.read_text().strip()
    except OSError as error:
        raise SettingsError(f"sasl_password_file: {error.strerror}: {settings.sasl_password_file}") from None


def blocklist(settings: Settings) -> Blocklist | None:
    """Read the list of what is not to be counted, if there is one; raises `SettingsError`."""
    try:
        return None if settings.blocklist is None else read_blocklist(settings.blocklist)
    except BlocklistError as error:
        raise SettingsError(f"blocklist: {error}") from None


def _first_error(invalid: ValidationError) -> str:
    error = invalid.errors(include_url=False, include_input=False)[0]
    name = ".".join(map(str, error["loc"]))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{name}: no such setting"
    return f"{name}: {message}" if name else message


Rules = list[tuple[bool, str]]
"""What must hold of settings together, and what is said when it does not."""


def require(rules: Rules) -> None:
    """Refuse combinations that would count wrongly or lose commits; raises `SettingsError`."""
    for holds, sentence in rules:
        if not holds:
            raise SettingsError(sentence)


def _common_rules(s: JobSettings) -> Rules:
    return [
        (s.buckets >= s.parallelism, "buckets: must not be fewer than parallelism"),
        (
            s.transaction_timeout > s.checkpoint_interval,
            "transaction_timeout: must be longer than checkpoint_interval, or commits are lost",
        ),
        (not _has_sasl(s) or bool(s.sasl_mechanism), "sasl_mechanism: needed for security_protocol SASL_*"),
        (not _has_sasl(s) or bool(s.sasl_username), "sasl_username: needed for security_protocol SASL_*"),
        (_has_sasl(s) or not s.sasl_mechanism, "sasl_mechanism: needs security_protocol SASL_PLAINTEXT or SASL_SSL"),
    ]


def _click_rules(s: Settings) -> Rules:
    topics = [getattr(s, name) for name in s.topic_settings]
    return [
        (s.dedupe_horizon >= s.window, "dedupe_horizon: must not be shorter than window"),
        (s.dedupe_horizon % s.window == timedelta(), "dedupe_horizon: must be a whole number of windows"),
        (s.idle_timeout > s.out_of_orderness, "idle_timeout: must be longer than out_of_orderness"),
        (len(set(topics)) == len(topics), "clicks_topic: all topics must have different names"),
    ]


def _has_sasl(settings: JobSettings) -> bool:
    return settings.security_protocol.startswith("SASL_")
