"""What the serving side can be told, validated once at start; secrets come from the environment or a file only."""

import json
import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

PREFIX = "CLICKPROOF_SERVING_"
"""Names of the environment that start so belong to the serving side, not to the jobs."""
PORT = 8090
SERVER_SCHEMES = ("http", "https")


class ServingError(Exception):
    """Something the user can mend: one sentence that says what to do."""


class Topics(NamedTuple):
    """The topics that are loaded, and `clicks`, whose idle partitions are watched."""

    clicks: str = "clicks"
    counts: str = "clicks-per-minute"
    top: str = "clicks-top"
    late: str = "clicks-late"
    invalid: str = "clicks-invalid"
    ledger: str = "clicks-ledger"
    reconciliations: str = "clicks-reconciliations"


class Settings(BaseModel):
    """The settings of store, loader and API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: Annotated[str, Field(min_length=1)]
    """A folder for the embedded store, or `http(s)://user@host:port/database` of a ClickHouse server."""
    store_password: SecretStr | None = None
    store_password_file: Path | None = None
    ttl_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    """Days after which rows leave the store; None keeps them for ever."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    kafka_config: Path | None = None
    """JSON file with kafka-python's security options."""
    idle_timeout_ms: Annotated[int, Field(ge=1)] = 30_000
    """A partition of the clicks without a record for so long is called idle: the job's `idle_timeout`."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = PORT
    token: SecretStr | None = None
    token_file: Path | None = None

    @field_validator("store")
    @classmethod
    def _without_password(cls, store: str) -> str:
        if urlsplit(store).password is not None:
            raise ValueError(f"the password belongs into {PREFIX}STORE_PASSWORD or its file, not into the address")
        return store

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def kafka(self) -> dict[str, Any]:
        """How kafka-python's clients reach the topics. Raises ServingError when the options' file cannot be read."""
        try:
            options = json.loads(self.kafka_config.read_bytes()) if self.kafka_config else {}
            return {"bootstrap_servers": self.bootstrap_servers, **options}
        except (OSError, TypeError, ValueError) as error:
            raise ServingError(f"Cannot read the options of Kafka in {self.kafka_config}: {error}.") from None

    @property
    def on_server(self) -> bool:
        """Whether the store is a ClickHouse server."""
        return urlsplit(self.store).scheme in SERVER_SCHEMES


def load(
    given: Mapping[str, Any],
    defaults: Mapping[str, Any] = MappingProxyType({}),
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings: what is given (None: not given), else the environment, else the defaults.

    Raises ServingError.
    """
    set_there = {name: environment.get(PREFIX + name.upper()) for name in Settings.model_fields}
    chosen = [{name: value for name, value in some.items() if value is not None} for some in (set_there, given)]
    try:
        return Settings.model_validate({**defaults, **chosen[0], **chosen[1]})
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(map(str, error["loc"]))
        raise ServingError(f"Setting {name}: {error['msg'].removeprefix('Value error, ')}.") from None


def api_token(settings: Settings) -> str | None:
    """Return the token that callers must show, if any. Raises ServingError beyond loopback without one."""
    token = secret(settings.token, settings.token_file, "the API's token")
    if token is None and not settings.on_loopback:
        raise ServingError(
            f"The API needs a token to listen on {settings.host}: set {PREFIX}TOKEN or {PREFIX}TOKEN_FILE."
        )
    return token


def secret(value: SecretStr | None, file: Path | None, what: str) -> str | None:
    """Return a secret, given itself or in a file. Raises ServingError when it is empty or cannot be read."""
    if value is None and file is None:
        return None
    try:
        text = value.get_secret_value() if value is not None else file.read_text("utf-8").strip()  # type: ignore[union-attr]
    except (OSError, UnicodeDecodeError) as error:
        raise ServingError(f"Cannot read {what} from {file}: {error}.") from None
    if not text or not text.isascii():
        raise ServingError(f"Set {what} to ASCII characters, at least one.")
    return text
