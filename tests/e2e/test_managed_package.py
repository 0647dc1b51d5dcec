"""The zip for managed services has the jobs, all that they import, and one jar with every connector."""

import ast
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from jobs import managed
from local.installation import installation
from local.managed_package import NEEDED, package

pytestmark = [pytest.mark.e2e, pytest.mark.deploy]

PYFLINK_BRINGS = {"pyflink", "py4j", "numpy", "pandas", "pyarrow"}
LARGEST = 512 * 1024 * 1024  # that Amazon Managed Service for Apache Flink takes
UV = installation() / "build" / "uv" / "bin"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("package") / "clickproof-flink.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{UV}:{os.environ['PATH']}")
        package(target)
    return target


def imported() -> set[str]:
    """The packages that the jobs import, but the standard library's and their own."""
    names: set[str] = set()
    for folder in ("jobs", "udfs"):
        for file in (installation() / folder).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names |= {module.partition(".")[0] for module in modules}
    return names - set(sys.stdlib_module_names) - {"jobs", "udfs"}


def test_what_the_jobs_import_is_what_the_package_brings() -> None:
    brought = {name.partition(".")[0].replace("-", "_") for name in NEEDED}
    assert imported() - PYFLINK_BRINGS == brought


def test_the_zip_has_the_layout_that_the_service_is_told_of(target: Path) -> None:
    names = zipfile.ZipFile(target).namelist()
    assert {name.partition("/")[0] for name in names} == {"main.py", "requirements.txt", "python", "lib"}
    assert [name for name in names if name.startswith("lib/")] == ["lib/clickproof-connectors.jar"]
    assert {"python/jobs/click_stream.py", "python/jobs/archive.py", "python/udfs/dedupe.py"} <= set(names)
    assert not [name for name in names if "flink" in name.partition("python/")[2].partition("/")[0]]
    assert target.stat().st_size < LARGEST


def test_the_versions_are_those_of_the_lock_with_their_hashes(target: Path) -> None:
    requirements = zipfile.ZipFile(target).read("requirements.txt").decode()
    lines = [line for line in requirements.splitlines() if "==" in line]
    assert {line.partition("==")[0] for line in lines} >= {name.replace(".", "-") for name in NEEDED}
    assert requirements.count("--hash=sha256:") >= len(lines)


def test_the_one_jar_has_the_services_of_every_connector(target: Path) -> None:
    jar = zipfile.ZipFile(io.BytesIO(zipfile.ZipFile(target).read("lib/clickproof-connectors.jar")))
    factories = jar.read("META-INF/services/org.apache.flink.table.factories.Factory").decode().split()
    assert {
        "org.apache.flink.streaming.connectors.kafka.table.KafkaDynamicTableFactory",
        "org.apache.flink.streaming.connectors.kafka.table.UpsertKafkaDynamicTableFactory",
        "org.apache.flink.formats.parquet.ParquetFileFormatFactory",
    } <= set(factories)
    assert "org/apache/hadoop/conf/Configuration.class" in jar.namelist()
    assert len(jar.namelist()) == len(set(jar.namelist()))


def test_the_packages_in_the_zip_are_enough_to_start_a_job(target: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(target).extractall(tmp_path)
    program = (
        "import sys; sys.path.insert(0, 'python'); import main, polars, pydantic, udfs.dedupe;"
        "print(main.JOBS.keys(), polars.__file__, pydantic.__file__, udfs.dedupe.__file__)"
    )
    answer = subprocess.run([sys.executable, "-P", "-c", "import sys; sys.path.insert(0, '.');" + program],
                            cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count(f"{tmp_path}/python/") + answer.stdout.count(" python/") == 3


def test_the_entry_point_is_told_by_property_groups(tmp_path: Path) -> None:
    file = tmp_path / "application_properties.json"
    group = '{"PropertyGroupId": "clickproof", "PropertyMap": {"job": "archive", "bootstrap_servers": "b:9092"}}'
    file.write_text(f'[{{"PropertyGroupId": "other", "PropertyMap": {{}}}}, {group}]')
    assert managed.properties(file) == {"job": "archive", "bootstrap_servers": "b:9092"}
    assert managed.environment({"bootstrap_servers": "b:9092"}) == {"CLICKPROOF_BOOTSTRAP_SERVERS": "b:9092"}
    with pytest.raises(managed.SettingsError, match="property group 'clickproof'"):
        managed.properties(tmp_path / "absent.json")
