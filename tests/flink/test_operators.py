from pathlib import Path

import pytest
from pyflink.datastream import StreamExecutionEnvironment

from jobs import tables
from jobs.archive import archive
from jobs.click_stream import build, kafka_clicks, publish
from jobs.operators import name_operators
from jobs.settings import Settings
from tests.flink.conftest import environment

pytestmark = pytest.mark.flink

GOLDEN = Path(__file__).with_name("golden_uids.txt")
GOLDEN_BY_COUNTRY = Path(__file__).with_name("golden_uids_by_country.txt")


def planned(**dimensions: object) -> tuple[StreamExecutionEnvironment, list[str]]:
    """Build the whole job, from Kafka to Kafka, without running it; return it with its uids."""
    settings = Settings(parallelism=1, **dimensions)
    env, table_env = environment(settings, batch=10)
    publish(table_env, build(table_env, kafka_clicks(table_env, settings), settings), settings)
    return env, name_operators(env)


def kafka_job() -> list[str]:
    """Return the uids of the whole job."""
    return planned()[1]


def test_uids_are_those_of_the_savepoints_out_there():
    assert kafka_job() == GOLDEN.read_text().splitlines()


def test_a_dimension_adds_operators_and_changes_none():
    _, uids = planned(dimensions=["country"])
    assert uids == GOLDEN.read_text().splitlines() + GOLDEN_BY_COUNTRY.read_text().splitlines()


def archive_job() -> list[str]:
    """Return the uids of the archive."""
    settings = Settings(parallelism=1)
    env, table_env = environment(settings, batch=10)
    archive(table_env, settings)
    return name_operators(env)


def test_the_archives_uids_are_those_of_its_savepoints_out_there():
    assert archive_job() == ["clicks", "calc", "write", "end"]


def test_uids_do_not_depend_on_what_was_planned_before():
    assert kafka_job() == kafka_job()


def test_clicks_are_read_and_packed_once():
    """A second reading would count every click twice; a second packing would cut other batches, and lose clicks."""
    uids = kafka_job()
    assert [uid for uid in uids if uid.startswith((tables.CLICKS, "pack", "dedupe"))] == ["clicks", "pack", "dedupe"]


def test_no_python_is_chained_to_the_source():
    """Unread partitions would go idle while Python works on a batch, and their clicks would be late (FLINK-40234)."""
    env, _ = planned()
    chains = [
        vertex.getName()
        for vertex in env._j_stream_execution_environment.getStreamGraph().getJobGraph().getVerticesAsArray()
    ]
    (source,) = [chain for chain in chains if chain.startswith("Source:")]
    assert "pack" not in source
    assert any(chain.startswith("pack") for chain in chains)
