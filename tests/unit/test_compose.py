"""docker-compose.yml is one that Compose accepts, and says of the system what the rest of the project says."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.broker import MAX_MESSAGE_BYTES, SERVER_PROPERTIES
from local.installation import installation

PROJECT = installation()
COMPOSE = Path(sys.executable).parent / "docker-compose"
SAME = (
    *("message.max.bytes", "replica.fetch.max.bytes", "transaction.max.timeout.ms", "auto.create.topics.enable"),
    *("log.message.timestamp.type", "log.message.timestamp.after.max.ms", "log.retention.ms", "log.retention.bytes"),
)
"""Settings of the broker that decide on what is counted."""
Services = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    """The services as Compose understands them, each secret given."""
    if not COMPOSE.exists():
        pytest.skip("docker-compose is no package of this platform")
    environment = dict.fromkeys(secret_names(), "secret")
    answer = subprocess.run(
        [COMPOSE, "--project-directory", PROJECT, "--profile", "*", "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path_factory.mktemp("home")), **environment},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    return dict(json.loads(answer.stdout)["services"])


def secret_names() -> Iterator[str]:
    for line in (PROJECT / ".env.example").read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.removesuffix("=")


def test_every_part_of_the_system_is_there(services: Services) -> None:
    assert services.keys() == {
        *("kafka", "kafka-ui", "jobmanager", "taskmanager", "stream", "archive", "heartbeat", "reconcile"),
        *("clickhouse", "api", "prometheus", "grafana"),
    }


def test_images_are_pinned_to_a_version(services: Services) -> None:
    tags = {service["image"].rpartition(":")[2] for service in services.values()}
    assert all(any(part.isdigit() for part in tag.lstrip("v").split(".")) for tag in tags)


def test_nothing_listens_beyond_the_machine(services: Services) -> None:
    addresses = {port["host_ip"] for service in services.values() for port in service.get("ports", [])}
    assert addresses == {"127.0.0.1"}


def test_every_server_is_checked_and_jobs_wait_for_what_they_need(services: Services) -> None:
    without = {name for name, service in services.items() if "healthcheck" not in service}
    assert without == {"heartbeat", "reconcile"}
    conditions = {need["condition"] for service in services.values() for need in service.get("depends_on", {}).values()}
    assert conditions == {"service_healthy"}


def test_no_secret_is_in_the_file_or_a_services_environment(services: Services) -> None:
    values = [str(value) for service in services.values() for value in service.get("environment", {}).values()]
    assert "secret" not in values
    assert not any("secret" in str(service.get("command")) for service in services.values())
    assert {secret["source"] for service in services.values() for secret in service.get("secrets", [])} == {
        *("clickhouse_password", "api_token", "grafana_password")
    }


def test_the_broker_has_the_settings_of_the_local_one(services: Services) -> None:
    blank = SERVER_PROPERTIES.format(host="", port=0, controller_port=0, data="", max_bytes=MAX_MESSAGE_BYTES)
    local = dict(line.split("=") for line in blank.splitlines() if not line.startswith("#"))
    there = {name: services["kafka"]["environment"]["KAFKA_" + name.upper().replace(".", "_")] for name in SAME}
    assert there == {name: local[name] for name in SAME}


def test_the_files_that_are_mounted_exist(services: Services) -> None:
    mounts = [volume for service in services.values() for volume in service.get("volumes", [])]
    sources = [Path(mount["source"]) for mount in mounts if mount["type"] == "bind"]
    assert sources
    assert [str(source) for source in sources if not source.exists()] == []
