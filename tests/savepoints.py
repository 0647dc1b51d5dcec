"""The savepoint of a release, kept as a fixture: made by `make fixture`, restored by the tests of later releases.

It holds open windows, identities that later duplicates must meet, and no result that is published yet: so a fresh
broker that is sent the same clicks stands where the old one stood.
"""

import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.producer import send_lines
from local.deployment import Deployment
from local.generator import generate
from local.processes import await_until
from local.published import decided_clicks
from local.stack import PARTITIONS, Stack, temporary_stack
from local.traffic import MINUTE, Traffic
from tests.patience import PATIENCE

FIXTURES = Path(__file__).parent / "fixtures"
NAME = "kept-savepoint"  # of the deployment: the state knows its topics by name
SETTINGS = ["--checkpoint-interval", "2 s", "--idle-timeout", "24 h"]
BEFORE = Traffic(clicks=1_500, seed=6, minutes=1, late=0, invalid=0, future=0, ads=20)
OPEN_FOR = 50  # seconds of the first minute that are sent before the savepoint


@contextmanager
def kept_deployment(stack: Stack, *settings: str) -> Iterator[Deployment]:
    """The deployment that the savepoint is of, with empty topics; `settings`: further arguments."""
    job = Deployment(stack, NAME, PARTITIONS, [*SETTINGS, *settings])
    try:
        job.create_topics()
        yield job
    finally:
        job.end()


def make(target: Path) -> None:
    """Run the job over the first clicks of a minute, stop it with a savepoint, and keep both."""
    with tempfile.TemporaryDirectory() as name, temporary_stack() as stack, kept_deployment(stack) as job:
        directory = Path(name)
        sent, savepoint = directory / "sent.jsonl", directory / "savepoint"
        _first_clicks(sent)
        lines = send_lines(sent, job.topics.clicks, job.connection)
        stack.cluster.await_running(job.submit())
        await_decided(job, lines)
        stack.cluster.stop_with_savepoint(str(job.job_id), directory / "taken")
        (taken,) = (directory / "taken").iterdir()
        taken.rename(savepoint)
        target.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as fixture:
            for file in [sent, *sorted(savepoint.iterdir())]:
                fixture.write(file, file.relative_to(directory))


def await_decided(job: Deployment, clicks: int) -> None:
    """Return when so many clicks are in the ledger."""
    ledger = job.topics.ledger
    await_until(lambda: decided_clicks(job.connection, ledger) >= clicks, f"Deciding {clicks} clicks", PATIENCE)


def _first_clicks(file: Path) -> None:
    generate(BEFORE, file)
    file.with_name(f"{file.name}.truth.json").unlink()
    lines = file.read_bytes().split(b"\n")[:-1]
    file.write_bytes(b"".join(line + b"\n" for line in lines[: len(lines) * OPEN_FOR * 1000 // MINUTE]))


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute())
