"""One zip with all that a managed Flink service needs: `python -m local.managed_package build/clickproof-flink.zip`.

`main.py` starts a job, `python/` has the packages that it imports (for Linux on amd64), `lib/` the one jar that such
services take, `requirements.txt` the versions. Flink and PyFlink are the service's.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

from local.installation import installation
from local.processes import LocalError
from local.submission import package_jobs

NEEDED = ("blake3", "numba", "polars", "pydantic", "ruamel.yaml")
"""What the jobs import and PyFlink does not bring, of what the project names; NumPy comes with PyFlink."""
OWN_PYTHON = "3.11"
PLATFORM = "x86_64-manylinux_2_28"
_MANIFEST = b"Manifest-Version: 1.0\r\nMulti-Release: true\r\n\r\n"


def package(target: Path, python: str = OWN_PYTHON) -> None:
    """Write the zip, its packages for the service's version of Python. Raises LocalError, naming what failed.

    The lock has the hashes of packages for Python 3.11 alone: for another one its versions hold, unverified.
    """
    jars = sorted((installation() / "build" / "jars" / "flink").glob("*.jar"))
    if not jars:
        raise LocalError("The connectors are missing in build/jars/flink: run make setup.")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        work = Path(folder)
        requirements = locked(work / "requirements.txt", hashes=python == OWN_PYTHON)
        _uv(
            *("pip", "install", "--quiet", "--target", str(work / "python"), "--no-deps", "--only-binary", ":all:"),
            *("--python-version", python, "--python-platform", PLATFORM, "--requirements", str(requirements)),
        )
        with zipfile.ZipFile(package_jobs(work / "jobs.zip")) as jobs:
            jobs.extractall(work / "python")
        (work / "lib").mkdir()
        merge_jars(jars, work / "lib" / "clickproof-connectors.jar")
        archive.write(work / "python" / "jobs" / "managed.py", "main.py")
        for file in sorted(path for part in ("requirements.txt", "python", "lib") for path in _files(work / part)):
            archive.write(file, file.relative_to(work))


def locked(target: Path, hashes: bool) -> Path:
    """Write the locked versions of the packages that the jobs need to a file for pip; return it."""
    project = tomllib.loads((installation() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {requirement.split("[")[0].split("=")[0].split(">")[0] for requirement in project["dependencies"]}
    pruned = [word for name in sorted(names - set(NEEDED) | {"numpy"}) for word in ("--prune", name)]
    format_ = ["--no-dev", "--no-emit-project", "--no-annotate", "--no-header", *([] if hashes else ["--no-hashes"])]
    _uv("export", "--frozen", "--quiet", "--project", str(installation()), *format_, *pruned, "-o", str(target))
    return target


def merge_jars(jars: Iterable[Path], target: Path) -> None:
    """Write one jar with the classes of all, the first of equal names; their lists of services are joined."""
    services: dict[str, list[bytes]] = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as merged:
        merged.writestr("META-INF/MANIFEST.MF", _MANIFEST)
        seen = {"META-INF/MANIFEST.MF", "module-info.class"}
        for jar in jars:
            with zipfile.ZipFile(jar) as part:
                for name in part.namelist():
                    if name.startswith("META-INF/services/") and not name.endswith("/"):
                        services.setdefault(name, []).append(part.read(name))
                    elif name not in seen and not name.endswith(("/", ".SF", ".RSA", ".DSA")):
                        seen.add(name)
                        merged.writestr(name, part.read(name))
        for name, lists in services.items():
            merged.writestr(name, b"\n".join(lists) + b"\n")


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _uv(*arguments: str) -> None:
    try:
        answer = subprocess.run(["uv", *arguments], capture_output=True, text=True)
    except OSError as error:
        raise LocalError(f"uv does not run ({error.strerror}): use make package.") from error
    if answer.returncode != 0:
        raise LocalError(f"uv {arguments[0]} failed: {answer.stderr.strip()}")


def main() -> None:
    """Write the zip to the path that is given."""
    parser = argparse.ArgumentParser(prog="python -m local.managed_package", description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--python", default=OWN_PYTHON, help="version of the service's Python")
    options = parser.parse_args()
    try:
        package(options.target, options.python)
    except LocalError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
