"""Running a job that ends by itself, to its end."""

from collections.abc import Callable
from functools import partial

from local.cluster import Cluster
from local.job_client import root_cause
from local.processes import LocalError, await_until

RESTART_TIMEOUT = 180.0
MOST_FAILURES = 10

Progress = Callable[[str, int], None]  # (the job's status, the records it has read)


def run_to_end(
    cluster: Cluster, submit: Callable[[], str], begin_again: Callable[[], None], on_progress: Progress
) -> str:
    """Submit the job and return its id when it is FINISHED; when its JobManager is lost, it is awaited and begun again.

    Somebody else must start the JobManager again (`local.keeper`). `begin_again` clears away what the lost attempt has
    left before the job is submitted again. Raises LocalError when the job fails.
    """
    while True:
        jobmanager = cluster.jobmanager.pid
        try:
            job_id = submit()
            cluster.await_job(job_id, partial(_watch, cluster, job_id, on_progress))
        except LocalError:
            if not _lost(cluster, jobmanager):
                raise
            begin_again()
        else:
            return job_id


def _watch(cluster: Cluster, job_id: str, on_progress: Progress, status: str, records: int) -> None:
    """Pass the progress on; a job that fails again and again would be restarted for ever."""
    on_progress(status, records)
    if status == "RESTARTING" and len(failures := cluster.job_exceptions(job_id)) >= MOST_FAILURES:
        raise LocalError(f"The job failed {len(failures)} times, at last because of: {root_cause(failures[0])}.")


def _lost(cluster: Cluster, jobmanager: int | None) -> bool:
    """Whether that JobManager is gone; returns when the cluster can take jobs."""
    await_until(
        lambda: cluster.answers() and bool(cluster.taskmanager_ids()), "Restarting the JobManager", RESTART_TIMEOUT
    )
    return jobmanager is None or cluster.jobmanager.pid != jobmanager
