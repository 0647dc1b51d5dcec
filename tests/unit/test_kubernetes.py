"""What deploy/kubernetes renders to is what Kubernetes and the Flink operator take, and what the jobs understand."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from jobs import settings as job_settings
from local.cli import app
from local.installation import installation
from serving import settings as serving_settings

PROJECT = installation()
KUBECTL = Path(sys.executable).parent / "kubectl"
CRD = PROJECT / "build/kubernetes-operator/META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml"
NOT_OF_PODS = {  # what the operator decides itself, or the containers' resources
    *("jobmanager.rpc.address", "jobmanager.bind-host", "taskmanager.host", "taskmanager.bind-host"),
    *("rest.address", "rest.bind-address", "jobmanager.memory.process.size", "taskmanager.memory.process.size"),
}
OF_PODS = {
    *("classloader.resolve-order", "taskmanager.numberOfTaskSlots", "high-availability.type"),
    *("high-availability.storageDir", "metrics.reporter.prometheus.factory.class", "metrics.reporter.prometheus.port"),
    *("execution.checkpointing.dir", "execution.checkpointing.savepoint-dir"),
    "kubernetes.taskmanager.memory.limit-factor",
}
Resource = dict[str, Any]


@pytest.fixture(scope="module", params=["production", "trial"])
def rendered(request: pytest.FixtureRequest) -> list[Resource]:
    """An overlay as kustomize renders it."""
    if not KUBECTL.exists():
        pytest.skip("kubectl is no package of this platform")
    overlay = PROJECT / "deploy/kubernetes/overlays" / request.param
    answer = subprocess.run([KUBECTL, "kustomize", overlay], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return list(YAML(typ="safe", pure=True).load_all(answer.stdout))


def of_kind(resources: list[Resource], kind: str) -> dict[str, Resource]:
    return {each["metadata"]["name"]: each for each in resources if each["kind"] == kind}


def pods(resources: list[Resource]) -> dict[str, Resource]:
    """The specification of every pod, by its label `app`."""
    deployments = {name: each["spec"]["template"]["spec"] for name, each in of_kind(resources, "Deployment").items()}
    jobs = {
        name: each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        for name, each in of_kind(resources, "CronJob").items()
    }
    flink = {name: each["spec"]["podTemplate"]["spec"] for name, each in of_kind(resources, "FlinkDeployment").items()}
    return deployments | jobs | flink


def closed(schema: Any) -> Any:
    """The schema with nothing allowed that it does not name, as the API server prunes what it does not know."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: closed(each) for name, each in schema.items()}
    if "properties" in schema and isinstance(schema["properties"], dict) and schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    return schema


def test_every_object_of_kubernetes_itself_is_valid(rendered: list[Resource]) -> None:
    own = [each for each in rendered if each["kind"] != "FlinkDeployment"]
    assert {each["kind"] for each in own} >= {"CronJob", "Deployment", "NetworkPolicy", "PodDisruptionBudget"}
    for each in own:
        kubernetes_validate.validate(each, "1.37", strict=True)


def test_the_flink_deployments_are_what_the_operator_defines(rendered: list[Resource]) -> None:
    (version,) = YAML(typ="safe").load(CRD)["spec"]["versions"]
    schema = closed(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    deployments = of_kind(rendered, "FlinkDeployment")
    assert deployments.keys() == {"clickproof-stream", "clickproof-archive"}
    for each in deployments.values():
        assert each["apiVersion"] == f"flink.apache.org/{version['name']}"
        jsonschema.Draft202012Validator(schema).validate(each["spec"])


def test_jobs_are_upgraded_by_savepoint_and_survive_their_jobmanager(rendered: list[Resource]) -> None:
    for each in of_kind(rendered, "FlinkDeployment").values():
        job, flink = each["spec"]["job"], each["spec"]["flinkConfiguration"]
        assert job["upgradeMode"] == "savepoint"
        assert flink["high-availability.type"] == "kubernetes"
        places = (
            "high-availability.storageDir",
            "execution.checkpointing.dir",
            "execution.checkpointing.savepoint-dir",
        )
        assert all(flink[place].startswith("s3://") for place in places)


def test_operator_and_job_agree_on_the_parallelism(rendered: list[Resource]) -> None:
    for each in of_kind(rendered, "FlinkDeployment").values():
        arguments = each["spec"]["job"]["args"]
        assert int(arguments[arguments.index("--parallelism") + 1]) == each["spec"]["job"]["parallelism"]


def test_flink_is_configured_as_in_flink_conf(rendered: list[Resource]) -> None:
    options = YAML(typ="safe").load(PROJECT / "flink-conf/config.yaml")
    expected = {name: as_flink_writes(value) for name, value in options.items() if name not in NOT_OF_PODS | OF_PODS}
    for each in of_kind(rendered, "FlinkDeployment").values():
        there = {name: text.strip() for name, text in each["spec"]["flinkConfiguration"].items()}
        own = {name for name in there if name in OF_PODS or name.startswith(("s3.", "kubernetes."))}
        assert {name: text for name, text in there.items() if name not in own} == expected


def as_flink_writes(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def test_the_programs_that_the_jobs_name_exist(rendered: list[Resource]) -> None:
    for each in of_kind(rendered, "FlinkDeployment").values():
        program = each["spec"]["job"]["args"][1]
        assert (PROJECT / program.removeprefix("/opt/clickproof/")).is_file()


def test_the_jobs_and_the_serving_side_accept_their_settings(rendered: list[Resource]) -> None:
    environment = of_kind(rendered, "ConfigMap")["clickproof"]["data"]
    sasl = "CLICKPROOF_SASL_PASSWORD_FILE" in environment
    secret = {"CLICKPROOF_SASL_PASSWORD": "in place of the file, which is not here"} if sasl else {}
    for each in of_kind(rendered, "FlinkDeployment").values():
        job_settings.load(each["spec"]["job"]["args"][2:], environment | secret)
    serving = serving_settings.load({"host": "0.0.0.0"}, environment=environment)
    assert serving.on_server
    known = {serving_settings.PREFIX + name.upper() for name in serving_settings.Settings.model_fields}
    assert {name for name in environment if name.startswith(serving_settings.PREFIX)} <= known


def test_the_reconciliation_has_only_options_of_the_command(rendered: list[Resource]) -> None:
    (container,) = pods(rendered)["clickproof-reconcile"]["containers"]
    command = get_command(app).commands["reconcile"]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    used = [word.partition("=")[0] for word in [*container["command"][2:], *container["args"]]]
    assert set(used) <= known
    assert "--publish" in used


def test_secrets_are_referenced_and_never_rendered(rendered: list[Resource]) -> None:
    assert not of_kind(rendered, "Secret")
    volumes = [volume for pod in pods(rendered).values() for volume in pod["volumes"]]
    secrets = {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    assert secrets == {"clickproof-kafka", "clickproof-serving"}


def test_no_container_is_root_or_can_become_it(rendered: list[Resource]) -> None:
    for pod in pods(rendered).values():
        assert pod["securityContext"]["runAsNonRoot"]
        for container in pod["containers"]:
            assert not container["securityContext"]["allowPrivilegeEscalation"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_images_are_pinned_to_a_version(rendered: list[Resource]) -> None:
    images = {each["spec"]["image"] for each in of_kind(rendered, "FlinkDeployment").values()}
    images |= {
        container["image"] for pod in pods(rendered).values() for container in pod["containers"] if "image" in container
    }
    assert len(images) == 1
    assert images.pop().endswith("clickproof:0.1.0")


def test_every_pod_is_behind_the_network_policy_and_every_budget_is_of_a_pod(rendered: list[Resource]) -> None:
    (selector,) = of_kind(rendered, "NetworkPolicy")["clickproof"]["spec"]["podSelector"]["matchExpressions"]
    assert set(selector["values"]) == pods(rendered).keys()
    budgets = of_kind(rendered, "PodDisruptionBudget").values()
    assert {budget["spec"]["selector"]["matchLabels"]["app"] for budget in budgets} <= pods(rendered).keys()
