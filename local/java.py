"""Finding a Java that Flink and Kafka run on."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from local.processes import LocalError

OLDEST_JAVA = 17


def require_java() -> Path:
    """The home of the first Java 17 or newer among JAVA_HOME and PATH.

    Raises LocalError, naming what was found instead.
    """
    homes = [Path(home) for home in (os.environ.get("JAVA_HOME"), _java_home_on_path()) if home]
    versions = {home: _java_version(home) for home in homes}
    for home, version in versions.items():
        if version is not None and version >= OLDEST_JAVA:
            return home
    found = [f"Java {version} in {home}" if version else f"no Java in {home}" for home, version in versions.items()]
    raise LocalError(
        f"Install Java {OLDEST_JAVA} or newer and put it on PATH or in JAVA_HOME: found {', '.join(found) or 'none'}."
    )


def _java_home_on_path() -> str | None:
    java = shutil.which("java")
    return str(Path(java).resolve().parent.parent) if java else None


def _java_version(home: Path) -> int | None:
    """The major version, from `java -version`: 17 of "17.0.15", 8 of "1.8.0_402"."""
    try:
        answer = subprocess.run([home / "bin" / "java", "-version"], capture_output=True, text=True, timeout=60)
    except OSError:
        return None
    version = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(version.group(1)) if version else None
