"""The Dockerfile passes its linter, and its versions are those of the project."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from local.cluster import KEEP_MEMORY
from tests.dockerfile import DOCKERFILE, PROJECT, instructions

HADOLINT = Path(sys.executable).parent / "hadolint"


def arguments(name: str) -> list[str]:
    return [arguments for instruction, arguments in instructions(DOCKERFILE) if instruction == name]


def test_the_linter_has_nothing_to_say() -> None:
    if not HADOLINT.exists():
        pytest.skip("hadolint is no package of this platform")
    answer = subprocess.run([HADOLINT, "--no-color", DOCKERFILE], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, "")


def test_the_versions_of_flink_and_uv_are_those_of_the_project() -> None:
    dependencies = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    (flink,) = (re.findall(r"==(.*)", name)[0] for name in dependencies if name.startswith("apache-flink=="))
    assert arguments("ARG") == [f"FLINK_IMAGE=flink:{flink}-scala_2.12-java17"]
    (uv,) = re.findall(r"^UV_VERSION := (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert f"ghcr.io/astral-sh/uv:{uv} AS uv" in arguments("FROM")


def test_the_jars_are_copied_by_an_execution_that_the_pom_has() -> None:
    pom = ElementTree.parse(PROJECT / "flink-conf/pom.xml")
    executions = {each.text for each in pom.iter("{http://maven.apache.org/POM/4.0.0}id")}
    named = [name for command in arguments("RUN") for name in re.findall(r"dependency:copy@(\S+)", command)]
    assert named
    assert set(named) <= executions


def test_the_image_ends_as_a_user_that_is_not_root() -> None:
    assert arguments("USER")[-1] == "9999"


def test_everything_that_is_copied_and_nothing_else_reaches_the_builder() -> None:
    allowed = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    words = [word for copied in arguments("COPY") if "--from" not in copied for word in copied.split()[:-1]]
    copied = {word.rstrip("/") for word in words if not word.startswith("--")}
    assert all(any(name == path or name.startswith(f"{path}/") for path in allowed) for name in copied)
    assert all(any(name == path or name.startswith(f"{path}/") for name in copied) for path in allowed)


def test_every_package_of_the_project_is_in_the_image() -> None:
    packages = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    copied = " ".join(arguments("COPY"))
    assert all(f"{package}/ {package}/" in copied for package in packages)


def test_the_image_has_the_projects_version_wherever_it_is_named() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    kubernetes = PROJECT / "deploy/kubernetes"
    named = {
        PROJECT / "Makefile": f"IMAGE := clickproof:{version}\n",
        PROJECT / "docker-compose.yml": f"image: clickproof:{version}\n",
        kubernetes / "base/kustomization.yaml": f"newTag: {version}\n",
        kubernetes / "overlays/production/flink.yaml": f"/clickproof:{version}\n",
    }
    assert [str(file) for file, text in named.items() if text not in file.read_text()] == []


def test_the_images_python_workers_keep_their_memory_as_those_of_the_local_cluster_do() -> None:
    environment = dict(pair.split("=", 1) for line in arguments("ENV") for pair in line.split())
    own = {name: value for name, value in KEEP_MEMORY.items() if not name.startswith("MALLOC_")}
    assert own.items() <= environment.items()
