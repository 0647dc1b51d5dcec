"""The entry point on a managed service that gives a job neither arguments nor an environment, but property groups.

Amazon Managed Service for Apache Flink leaves them in a file. The group `clickproof` holds settings by their names
(`bootstrap_servers`), and `job`: `stream`, the default, or `archive`.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from jobs import archive, click_stream
from jobs.setting_sources import SettingsError

PROPERTIES = Path("/etc/flink/application_properties.json")
GROUP = "clickproof"
JOBS = {"stream": click_stream.main, "archive": archive.main}


def properties(file: Path) -> dict[str, str]:
    """Return the group's properties; raises `SettingsError` when the service left none."""
    try:
        groups = json.loads(file.read_text(encoding="utf-8"))
        return next(dict(group["PropertyMap"]) for group in groups if group["PropertyGroupId"] == GROUP)
    except (OSError, ValueError, KeyError, StopIteration):
        raise SettingsError(f"{file}: it must have a property group '{GROUP}'") from None


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings as the environment has them: a password must not be an argument."""
    return {f"{GROUP}_{name}".upper(): value for name, value in settings.items()}


def main() -> None:
    """Run the job that the properties name, with their settings."""
    settings = properties(PROPERTIES)
    job = settings.pop("job", "stream")
    if job not in JOBS:
        raise SettingsError(f"job: {job} is none of {', '.join(JOBS)}")
    os.environ.update(environment(settings))
    JOBS[job]()


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"clickproof: {error}")
