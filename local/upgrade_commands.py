"""The commands that replace what runs on the local system without losing or repeating a click."""

import json
from typing import Annotated

import typer

from local.console import Json, console, errors
from local.stack import default_stack
from local.upgrade import rescale as rescale_job
from local.upgrade import upgrade as upgrade_job


def savepoint(as_json: Json = False) -> None:
    """Take a savepoint of the streaming job, which runs on; print its URI."""
    job = default_stack().stream
    with errors.status("Taking a savepoint"):
        uri = job.cluster.take_savepoint(job.living(), job.cluster.savepoints)
    if as_json:
        typer.echo(json.dumps({"savepoint": uri}))
    else:
        console.print(uri, soft_wrap=True)


def upgrade() -> None:
    """Go on with the project's code as it is now, from a savepoint; when that fails, go back to what ran."""
    stack = default_stack()
    with errors.status("Looking at what runs") as spinner:
        stack.stream.living()
        for job in (stack.stream, stack.archive):
            if job.job_id and job.lives():
                upgrade_job(job, spinner.update)
                errors.print(f"The {job.name} runs the code of this folder.")


def rescale(parallelism: Annotated[int, typer.Argument(min=1, help="Of the streaming job.")]) -> None:
    """Go on with another parallelism, from a savepoint; when that fails, go back to the old one."""
    with errors.status("Looking at what runs") as spinner:
        rescale_job(default_stack().stream, parallelism, spinner.update)
    errors.print(f"The streaming job runs with parallelism {parallelism}.")
