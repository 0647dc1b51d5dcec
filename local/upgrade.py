"""Going on with other code or other settings: stop with a savepoint, submit, verify; and back, when that fails."""

import shutil
from collections.abc import Callable
from contextlib import suppress

from local.job_client import FINAL_STATES, root_cause
from local.processes import LocalError, await_until
from local.stack_job import Release, StackJob

VERIFY_TIMEOUT = 240.0
QUIET = 15.0  # seconds without a click
PROOF = 2  # checkpoints: the first one to complete may have begun before the clicks came

OnStep = Callable[[str], None]


def upgrade(job: StackJob, on_step: OnStep) -> None:
    """Go on with the project's code as it is now. Raises LocalError when the job runs as before, or not at all."""
    _go_on(job, job.packaged(job.settings), on_step)


def rescale(job: StackJob, parallelism: int, on_step: OnStep) -> None:
    """Go on with another parallelism, and the code as it was submitted. Raises LocalError as `upgrade` does."""
    cluster, job_id = job.cluster, job.living()
    slots = cluster.free_slots() + cluster.parallelism(job_id)
    if parallelism > slots:
        raise LocalError(f"The cluster has {slots} task slots for the {job.name}: choose that parallelism, or less.")
    _go_on(job, Release(job.submitted().packages, ["--parallelism", str(parallelism)]), on_step)


def _go_on(job: StackJob, release: Release, on_step: OnStep) -> None:
    job_id = job.living()
    before = _kept(job)
    on_step(f"Stopping the {job.name} with a savepoint")
    job.cluster.stop_with_savepoint(job_id, job.cluster.stopped_directory(job_id))
    try:
        _run(job, release, on_step)
    except LocalError as failure:
        on_step(f"Going back: {failure}")
        _go_back(job, before, failure, on_step)
        raise LocalError(f"The {job.name} runs as before, because going on failed: {failure}") from failure
    finally:
        before.packages.unlink(missing_ok=True)


def _go_back(job: StackJob, before: Release, failure: LocalError, on_step: OnStep) -> None:
    """Run what ran before, from what was committed last."""
    try:
        _withdraw(job)
        _run(job, before, on_step)
    except LocalError as second:
        raise LocalError(
            f"The {job.name} is in trouble: going on failed ({failure}), going back too: {second}"
        ) from second


def _kept(job: StackJob) -> Release:
    """What was submitted last, put aside."""
    submitted = job.submitted()
    kept = submitted.packages.with_suffix(".before.zip")
    shutil.copyfile(submitted.packages, kept)
    return Release(kept, submitted.settings)


def _run(job: StackJob, release: Release, on_step: OnStep) -> None:
    """Submit a release, and return when it has proven to run: clicks went through all of it, and it committed them.

    Python workers run no code before the first click. Where none comes for a while, a checkpoint is all the proof.
    """
    on_step(f"Submitting the {job.name}")
    job.submit(release)
    on_step("Waiting for its first checkpoint")
    await_until(lambda: _checkpoints(job) > 0, f"Completing a checkpoint of the {job.name}", VERIFY_TIMEOUT)
    on_step("Waiting for clicks to go through it")
    with suppress(LocalError):  # none came; or the cluster fails, which the next question finds out
        await_until(lambda: job.cluster.received(str(job.job_id)) > 0, "Receiving clicks", QUIET)
    enough = _checkpoints(job) + PROOF
    await_until(lambda: _checkpoints(job) >= enough, f"Completing checkpoints of the {job.name}", VERIFY_TIMEOUT)


def _checkpoints(job: StackJob) -> int:
    """How many checkpoints it has completed. Raises LocalError once anything has failed in it."""
    cluster, job_id = job.cluster, str(job.job_id)
    if failures := cluster.job_exceptions(job_id):
        raise LocalError(f"{root_cause(failures[0])}.")
    if (status := cluster.job_status(job_id)) in FINAL_STATES:
        raise LocalError(f"the job ended as {status}.")
    return cluster.completed_checkpoints(job_id)


def _withdraw(job: StackJob) -> None:
    """Cancel what was submitted, if it lives; what it has committed is where the next one goes on."""
    if job.lives():
        job.cluster.cancel(str(job.job_id))
