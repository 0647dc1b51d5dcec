"""Loops over bytes that run as machine code: plain functions of numbers and arrays, compiled by Numba.

Code is compiled once for a machine, which takes seconds, and then read from a folder: `NUMBA_CACHE_DIR`, by default the
user's cache. Numba would look for it by the source's path, and a job's sources lie in a zip that Flink unpacks to a new
folder each time; here it is looked for by what the sources say.
"""

import hashlib
import sys
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, cast

# PyFlink's workers put a method in place of `print`, which Numba looks for in the module that it says it is of.
setattr(sys.modules[print.__module__], print.__name__, print)

import numba
import numpy as np
import numpy.typing as npt
from numba.core.caching import UserWideCacheLocator
from numba.misc.appdirs import AppDirs

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS = {"_nrt": False}
"""Arrays are passed and never made: counting their references took three quarters of the time."""


def compiled(function: _Function) -> _Function:
    """Compile a function that other compiled ones call. None of them makes an array."""
    return cast(_Function, numba.njit(**_OPTIONS)(function))


def kept(function: _Function) -> _Function:
    """Compile a function that Python calls, and keep it; without a folder to write to, each process compiles it."""
    try:
        return cast(_Function, numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:
        return compiled(function)


@cache
def _digest_of_sources(package: str) -> str:
    sources = sorted(files(package).iterdir(), key=lambda source: source.name)
    texts = (source.read_bytes() for source in sources if source.name.endswith(".py"))
    return hashlib.sha256(b"".join(texts)).hexdigest()


class BySource(UserWideCacheLocator):  # type: ignore[misc]
    """Finds a function's code by the sources of the package that it is part of: what it calls and which constants."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._stamp = _digest_of_sources(function.__module__.partition(".")[0])
        self._lineno = function.__code__.co_firstlineno
        folder = numba.config.CACHE_DIR or AppDirs(appname="numba", appauthor=False).user_cache_dir
        self._cache_path = str(Path(folder) / f"clickproof-{self._stamp[:16]}")

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> "BySource | None":
        """Return the function's locator, or nothing where there is no folder to read it from or to write it to."""
        locator = cls(function, file)
        try:
            locator.ensure_cache_path()
        except OSError:
            return locator if any(Path(locator.get_cache_path()).glob(f"*.{function.__name__}-*.nbi")) else None
        return locator

    def get_source_stamp(self) -> str:
        """Return what the kept code was compiled from."""
        return self._stamp


numba.config.CPU_NAME, numba.config.CPU_FEATURES = "generic", ""  # what an image keeps serves every machine
numba.config.CACHE_LOCATOR_CLASSES = f"{__name__}.{BySource.__name__}"
