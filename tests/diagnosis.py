"""What a stack was doing when a test failed on it.

Unfinished jobs with what restarted them, open transactions, memory, what the tasks wait for, the log's end.
"""

import re
from collections.abc import Iterator

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError

from local.job_client import FINAL_STATES, root_cause
from local.processes import LocalError
from local.stack import Stack

TASK = re.compile(r"\(\d+/\d+\)#\d+")  # (subtask/parallelism)#attempt, in the names of Flink's task threads
MOST_LINES = 40
MOST_FRAMES = 8  # of a thread's stack
MEMORY = ",".join(
    f"Status.JVM.{name}"
    for name in ("Memory.Heap.Used", "Memory.Heap.Max", "Memory.Metaspace.Used", "GarbageCollector.All.Time")
)


def diagnosis(stack: Stack) -> str:
    """Say it in lines; a cluster that does not answer is a finding, too."""
    log = ["The TaskManager's log ends:", stack.cluster.taskmanager.log_tail(MOST_LINES)]
    try:
        return "\n".join([*_jobs(stack), *_transactions(stack), *_taskmanagers(stack), *log])
    except (KafkaError, LocalError) as silent:
        return "\n".join([str(silent), *log])


def _jobs(stack: Stack) -> Iterator[str]:
    for job in stack.cluster.jobs():
        if job.status not in FINAL_STATES:
            yield f"{job.name} ({job.job_id}) is {job.status}."
            for exception in stack.cluster.job_exceptions(job.job_id):
                yield f"  restarted: {root_cause(exception)}"


def _taskmanagers(stack: Stack) -> Iterator[str]:
    for taskmanager in stack.cluster.taskmanager_ids():
        path = f"/taskmanagers/{taskmanager}"
        for metric in stack.cluster._call(f"{path}/metrics?get={MEMORY}"):
            yield f"{metric['id']}: {metric['value']}"
        for thread in stack.cluster._call(f"{path}/thread-dump")["threadInfos"]:
            if TASK.search(thread["threadName"]):
                yield "\n".join(thread["stringifiedThreadInfo"].splitlines()[:MOST_FRAMES])


def _transactions(stack: Stack) -> Iterator[str]:
    """Those that are open in a partition: a reader of committed records gets none that lie behind their first one."""
    with KafkaAdminClient(**stack.broker.connection) as admin:
        listed = [each for of_broker in admin.list_transactions().values() for each in of_broker]
        known = {each.producer_id: each for each in listed}
        topics = [topic for topic in admin.describe_topics() if not topic["name"].startswith("__")]
        partitions = [TopicPartition(topic["name"], n) for topic in topics for n in range(len(topic["partitions"]))]
        for partition, state in admin.describe_producers(partitions).items():
            for producer in state.active_producers:
                if producer.current_transaction_start_offset >= 0:
                    yield f"{partition} is open: {producer}; its coordinator has {known.get(producer.producer_id)}"
