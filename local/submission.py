"""Submitting a PyFlink job as its users do: `flink run -py`."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from local.job_client import root_cause
from local.processes import Daemon, LocalError, await_until

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("jobs", "udfs")
TIMEOUT = 300.0


def package_jobs(target: Path) -> Path:
    """Zip the packages a job consists of into `target`, for `flink run -pyfs`."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in PACKAGES:
            for source in sorted((PROJECT / package).rglob("*.py")):
                archive.write(source, source.relative_to(PROJECT))
    return target


def run_job(command: list[str], env: Mapping[str, str], cwd: Path, log_file: Path) -> str:
    """Run a `flink run` command, its output kept in `log_file`; return the job's id.

    Raises LocalError with the one sentence the job itself ended with.
    """
    log_file.unlink(missing_ok=True)
    client = Daemon("flink run", log_file.with_suffix(".pid"), log_file)
    client.start(command, env, cwd)
    try:
        await_until(lambda: not client.alive(), "Submitting the job", TIMEOUT)
    finally:
        client.stop()
    output = log_file.read_text(encoding="utf-8", errors="replace")
    submitted = re.findall(r"^Job has been submitted with JobID ([0-9a-f]{32})", output, re.MULTILINE)
    if not submitted:
        raise LocalError(f"The job was not submitted: {_reason(output)} (see {log_file}).")
    return str(submitted[-1])


def _reason(output: str) -> str:
    """The reason the job gave, which comes before the stack trace of the client that ran it."""
    own, _, _ = output.partition("org.apache.flink.client.program.ProgramAbortException")
    return root_cause(own.strip() or output) or "flink run said nothing"
