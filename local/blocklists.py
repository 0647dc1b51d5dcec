"""The blocklist as the commands take it, and hand it on to the jobs."""

from pathlib import Path
from typing import Annotated

import typer

from local.processes import LocalError
from udfs.blocklist import Blocklist, BlocklistError, read_blocklist

BlocklistFile = Annotated[
    Path | None, typer.Option("--blocklist", envvar="CLICKPROOF_BLOCKLIST", help="CSV file of what is not counted.")
]


def read(path: Path | None) -> Blocklist | None:
    """Read the list, if there is one; LocalError, naming the line, where it makes no sense."""
    try:
        return None if path is None else read_blocklist(path)
    except BlocklistError as error:
        raise LocalError(f"The blocklist {error}.") from None


def blocklist_argument(path: Path | None) -> list[str]:
    """Return the list as an argument of a job, which runs in a directory of its own."""
    return [] if path is None else ["--blocklist", str(path.absolute())]
