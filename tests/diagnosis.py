"""What a stack was doing when a test failed on it: unfinished jobs, what their tasks wait for, the end of the log."""

import json
import re
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException

from local.job_client import FINAL_STATES
from local.processes import LocalError
from local.stack import Stack

TASK = re.compile(r"\(\d+/\d+\)#\d+")  # (subtask/parallelism)#attempt, in the names of Flink's task threads
MOST_LINES = 40
SECONDS = 30


def diagnosis(stack: Stack) -> str:
    """Say it in lines; a cluster that does not answer is a finding, too."""
    log = ["The TaskManager's log ends:", stack.cluster.taskmanager.log_tail(MOST_LINES)]
    try:
        return "\n".join([*_jobs(stack), *_tasks(stack), *log])
    except (LocalError, OSError, HTTPException) as silent:
        return "\n".join([repr(silent), *log])


def _jobs(stack: Stack) -> Iterator[str]:
    for job in stack.cluster.jobs():
        if job.status not in FINAL_STATES:
            yield f"{job.name} ({job.job_id}) is {job.status}."


def _tasks(stack: Stack) -> Iterator[str]:
    for taskmanager in stack.cluster.taskmanager_ids():
        url = f"{stack.cluster.rest_url}/taskmanagers/{taskmanager}/thread-dump"
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            threads = json.load(answer)["threadInfos"]
        for thread in threads:
            if TASK.search(thread["threadName"]):
                yield thread["stringifiedThreadInfo"]
