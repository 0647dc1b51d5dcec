"""The Dockerfile's own steps, carried out without Docker in a folder that stands for the image's root."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.cluster import flink_home
from local.installation import installation

PROJECT = installation()
DOCKERFILE = PROJECT / "Dockerfile"
FLINK_HOME = "/opt/flink"
"""Of the base image: its distribution is the one that the apache-flink wheel carries."""


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Yield each instruction and its arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip():
            name, _, arguments = line.strip().partition(" ")
            yield name, arguments.strip()


@dataclass
class Image:
    """What the last stage of the Dockerfile leaves in the folder `root`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    _work: str = FLINK_HOME

    def build(self) -> None:
        """Carry out the stages `python` and the last one on the base image; the jars are those of `make setup`."""
        self._lay_base()
        stage = ""
        for name, arguments in instructions(DOCKERFILE):
            if name == "FROM":
                stage = arguments.partition(" AS ")[2]
                self._work = FLINK_HOME
            elif stage in ("python", "") and hasattr(self, f"_{name.lower()}"):
                getattr(self, f"_{name.lower()}")(arguments)

    def run(self, command: str, environment: Mapping[str, str]) -> str:
        """Run a command as in a container of the image; return what it prints, or fail with it."""
        every = {**os.environ, "FLINK_HOME": str(self._at(FLINK_HOME)), **self.environment, **environment}
        answer = subprocess.run(
            ["bash", "-c", self._mapped(command)], env=every, cwd=self._at(self._work), capture_output=True, text=True
        )
        assert answer.returncode == 0, f"{command}: {answer.stdout}{answer.stderr}"
        return answer.stdout

    def _lay_base(self) -> None:
        for part in ("bin", "lib", "opt", "plugins"):
            shutil.copytree(flink_home() / part, self._at(FLINK_HOME) / part)
        self._at(FLINK_HOME, "conf").mkdir()

    def _workdir(self, arguments: str) -> None:
        self._work = arguments
        self._at(arguments).mkdir(parents=True, exist_ok=True)

    def _env(self, arguments: str) -> None:
        for pair in shlex.split(arguments):
            name, _, value = pair.partition("=")
            local = {"UV_PYTHON": sys.executable, "PATH": self._mapped(value).replace("$PATH", os.environ["PATH"])}
            self.environment[name] = local.get(name, self._mapped(value))

    def _copy(self, arguments: str) -> None:
        words = arguments.split()
        options = dict(word.removeprefix("--").split("=") for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        for source in sources:
            self._copy_one(options.get("from"), source, self._at(self._work, target), into=target.endswith("/"))

    def _copy_one(self, stage: str | None, source: str, target: Path, into: bool) -> None:
        if stage == "uv" or stage == "python":  # uv is on the PATH; the stage `python` had the same root
            return
        path = PROJECT / source.removeprefix("/build/")
        target.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, target)

    def _run(self, arguments: str) -> None:
        uv = {"PATH": f"{PROJECT / 'build' / 'uv' / 'bin'}:{os.environ['PATH']}"}
        self.run(arguments, uv)

    def _at(self, *parts: str) -> Path:
        return self.root / os.path.join(*parts).lstrip("/")  # noqa: PTH118 (an absolute part replaces those before)

    def _mapped(self, text: str) -> str:
        return text.replace("/opt/", f"{self.root}/opt/")
