"""Running a job that ends by itself, to its end."""

from collections.abc import Callable
from functools import partial

from local.cluster import Cluster
from local.job_client import root_cause
from local.processes import LocalError, await_until

RESTART_TIMEOUT = 180.0
MOST_FAILURES = 10

Progress = Callable[[str, int], None]  # (the job's status, the records it has read)


class _FailedAsAWholeError(LocalError):
    """A job failed in a way after which its bounded source never ends."""


def run_to_end(
    cluster: Cluster, submit: Callable[[], str], begin_again: Callable[[], None], on_progress: Progress
) -> str:
    """Submit the job and return its id when it is FINISHED; begin it again where it could not be resumed to its end.

    That is when its JobManager is lost, which somebody else must start again (`local.keeper`), and when a failure
    restored the source's coordinator from a checkpoint, as that of a checkpoint does (FLINK-31006). `begin_again`
    clears away what the lost attempt has left before the job is submitted again. Raises LocalError when the job fails.
    """
    attempt = 0
    while True:
        attempt += 1
        jobmanager = cluster.jobmanager.pid
        try:
            job_id = submit()
            cluster.await_job(job_id, partial(_watch, cluster, job_id, on_progress))
        except LocalError as error:
            stuck = isinstance(error, _FailedAsAWholeError) or _lost(cluster, jobmanager)
            if not stuck or attempt == MOST_FAILURES:
                raise
            begin_again()
        else:
            return job_id


def _watch(cluster: Cluster, job_id: str, on_progress: Progress, status: str, records: int) -> None:
    """Pass the progress on; a job that fails again and again would be restarted for ever."""
    on_progress(status, records)
    failures = cluster.job_exceptions(job_id)
    if failures and cluster.failed_as_a_whole(job_id):
        cluster.cancel(job_id)
        raise _FailedAsAWholeError(f"The job failed as a whole: {root_cause(failures[0])}.")
    if status == "RESTARTING" and len(failures) >= MOST_FAILURES:
        raise LocalError(f"The job failed {len(failures)} times, at last because of: {root_cause(failures[0])}.")


def _lost(cluster: Cluster, jobmanager: int | None) -> bool:
    """Whether that JobManager is gone; returns when the cluster can take jobs."""
    await_until(
        lambda: cluster.answers() and bool(cluster.taskmanager_ids()), "Restarting the JobManager", RESTART_TIMEOUT
    )
    return jobmanager is None or cluster.jobmanager.pid != jobmanager
