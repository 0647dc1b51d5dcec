"""The image's own steps, carried out in a clean folder, give a system that counts exactly."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from local.generator import generate
from local.recount import recount_files
from local.traffic import Traffic
from tests.dockerfile import PROJECT, Image

pytestmark = [pytest.mark.e2e, pytest.mark.deploy, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    image = Image(tmp_path_factory.mktemp("image"))
    image.build()
    yield image
    shutil.rmtree(image.root)  # it is large, and pytest keeps what is left of three runs


def test_the_image_counts_a_file_exactly(image: Image, tmp_path: Path) -> None:
    (image.root / "opt/clickproof/build/jars/kafka").symlink_to(PROJECT / "build/jars/kafka")  # the broker is not in it
    file, out = tmp_path / "clicks.jsonl", tmp_path / "out"
    generate(Traffic(clicks=5_000, seed=3), file)
    home, now = {"CLICKPROOF_LOCAL_HOME": str(tmp_path / "home")}, int(time.time() * 1000)
    ledger = json.loads(image.run(f"clickproof replay {file} --out {out} --json", home))["ledger"]
    assert ledger["raw"] == 5_000
    assert recount_files(file, out, now) == []


def test_the_command_of_the_image_imports_nothing_of_the_project_folder(image: Image) -> None:
    where = image.run("python -c 'import jobs, local.cli; print(jobs.__file__, local.cli.__file__)'", {})
    assert all(path.startswith(str(image.root)) for path in where.split())


def test_there_is_one_flink_in_the_image_with_the_pinned_connectors(image: Image) -> None:
    jars = {jar.name for jar in (image.root / "opt/flink/lib").glob("*.jar")}
    assert {jar.name for jar in (PROJECT / "build/jars/flink").glob("*.jar")} <= jars
    assert "flink-python-2.3.0.jar" in jars
    assert [path for path in image.root.rglob("flink-dist-*.jar") if not path.parent.is_symlink()] == [
        image.root / "opt/flink/lib/flink-dist-2.3.0.jar"
    ]


def test_flink_listens_in_its_container_with_the_settings_of_flink_conf(image: Image) -> None:
    own = flat(YAML(typ="safe").load(PROJECT / "flink-conf/config.yaml"))
    there = flat(YAML(typ="safe").load(image.root / "opt/flink/conf/config.yaml"))
    assert {name: value for name, value in there.items() if own.get(name) != value} == {
        "classloader.resolve-order": "parent-first",
        "jobmanager.bind-host": "0.0.0.0",
        "rest.bind-address": "0.0.0.0",
        "taskmanager.bind-host": "0.0.0.0",
    }
    assert own.keys() - there.keys() == {"taskmanager.host"}


def flat(values: dict[str, object], prefix: str = "") -> dict[str, str]:
    """Options by their full names, as text."""
    options: dict[str, str] = {}
    for name, value in values.items():
        full = f"{prefix}{name}"
        options |= flat(value, f"{full}.") if isinstance(value, dict) else {full: str(value).strip()}
    return options
