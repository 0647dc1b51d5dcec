"""Keeps one job alive on a cluster that others run and that forgets its jobs when its JobManager restarts.

It creates the topics that are missing, submits the job, and submits it again, from its latest checkpoint, whenever the
cluster no longer has it. `--check` only says by its exit code whether the job runs. The job's settings come as ever,
from further arguments or the environment.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from kafka.errors import KafkaError

from jobs.settings import load
from local.external import ExternalBroker, ExternalCluster
from local.processes import LocalError
from local.published import topics_of
from local.stack import ARCHIVE_JOB, JOB, PARTITIONS
from local.stack_job import StackJob

JOBS = {"stream": JOB, "archive": ARCHIVE_JOB}
INTERVAL = 5.0
log = logging.getLogger("clickproof.job_keeper")


def keep(start: Callable[[], None], wait: Callable[[], bool]) -> None:
    """Start what does not live until `wait`, which lasts an interval, returns true; log each trouble once."""
    trouble = ""
    while not wait():
        try:
            start()
        except (LocalError, KafkaError) as error:
            if str(error) != trouble:
                log.warning("%s", error)
            trouble = str(error)
        else:
            trouble = ""


def main() -> None:
    """Keep the job until SIGTERM or SIGINT, or check it."""
    options, arguments = _arguments()
    cluster = ExternalCluster(options.home, options.rest_url)
    state = options.home / "state"
    state.mkdir(exist_ok=True)
    broker = ExternalBroker("" if options.check else load(arguments).bootstrap_servers, {}, options.home)
    own = ["--bootstrap-servers", broker.bootstrap_servers, *arguments]
    job = StackJob(options.job, JOBS[options.job], state / f"{options.job}-job.json", cluster, lambda: own)
    if options.check:
        sys.exit(job.status()[0] != "RUNNING")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def start() -> None:
        broker.create_topics(topics_of(arguments, os.environ).partitions(PARTITIONS))
        job.start()

    keep(start, lambda: stop.wait(INTERVAL))


def _arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m local.job_keeper", description=__doc__)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--rest-url", required=True, help="of the JobManager")
    parser.add_argument("--home", type=Path, default="/opt/flink", help="with the cluster's conf/ and checkpoints/")
    parser.add_argument("--check", action="store_true")
    return parser.parse_known_args()


if __name__ == "__main__":
    main()
