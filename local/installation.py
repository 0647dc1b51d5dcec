"""Where Clickproof's files are that are no Python: the configuration in `flink-conf/`, the jars in `build/jars/`."""

import os
from pathlib import Path

INSTALLATION_VARIABLE = "CLICKPROOF_LOCAL_INSTALLATION"


def installation() -> Path:
    """Their folder: the project's own, or the one that the environment names where Clickproof runs from a wheel."""
    return Path(os.environ.get(INSTALLATION_VARIABLE) or Path(__file__).resolve().parent.parent)
