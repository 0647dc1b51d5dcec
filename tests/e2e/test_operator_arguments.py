"""A job starts by the entry class and the arguments that deploy/kubernetes gives the operator."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from local.cluster import flink_home
from local.installation import installation
from local.stack import TOPICS, Stack
from local.submission import run_job

pytestmark = [pytest.mark.e2e, pytest.mark.deploy]


def test_the_stream_starts_as_the_operator_starts_it(stack: Stack, tmp_path: Path) -> None:
    job = YAML(typ="safe").load(installation() / "deploy/kubernetes/base/stream.yaml")["spec"]["job"]
    jar = flink_home() / "opt" / Path(job["jarURI"]).name
    arguments = [word.replace("/opt/clickproof", str(installation())) for word in job["args"]]
    command = [str(flink_home() / "bin" / "flink"), "run", "-d", "-c", job["entryClass"], str(jar), *arguments]
    settings = {"CLICKPROOF_BOOTSTRAP_SERVERS": stack.broker.bootstrap_servers, "CLICKPROOF_BUCKETS": "64"}
    stack.broker.create_topics(TOPICS.partitions(4))
    try:
        job_id = run_job(command, stack.cluster.environment() | settings, tmp_path, tmp_path / "submit.log")
        stack.cluster.await_running(job_id)
        stack.cluster.cancel(job_id)
    finally:
        stack.broker.delete_topics(TOPICS.names)
