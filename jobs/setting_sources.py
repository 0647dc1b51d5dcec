"""Where settings come from: configuration file, environment and arguments; nobody else reads them for the jobs.

A setting is looked for, in this order, in the arguments (`--out-of-orderness '5 s'`), the environment
(`CLICKPROOF_OUT_OF_ORDERNESS`), the section `clickproof` of `$FLINK_CONF_DIR/config.yaml` (`out-of-orderness: 5 s`).
Another job has a section and a prefix of its own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

OTHER_PREFIXES = ("CLICKPROOF_LOCAL_", "CLICKPROOF_SERVING_")
"""Names that start so belong to the local stack and the serving side, not to the jobs."""
SECRETS = frozenset({"sasl_password"})
"""Settings that are never taken from arguments, where any user of the machine could read them."""


class SettingsError(ValueError):
    """A setting that cannot be used: one sentence that names it."""


def from_file(section: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in a section of Flink's configuration file, if there is one."""
    folder = environment.get("FLINK_CONF_DIR")
    path = Path(folder or "") / "config.yaml"
    if not folder or not path.is_file():
        return {}
    values = (YAML(typ="safe", pure=True).load(path) or {}).get(section) or {}
    return {_setting_name(key): value for key, value in values.items()}


def from_environment(section: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings in the environment under the section's name, but those of others."""
    prefix = f"{_setting_name(section).upper()}_"
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in environment.items()
        if name.startswith(prefix) and not name.startswith(OTHER_PREFIXES)
    }


def from_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """Return the settings in `--name value` pairs; a name without a value switches it on. Raises `SettingsError`."""
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
