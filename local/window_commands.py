"""The command that runs `EventIngestor` on a file of operations: windows."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TextIO

import typer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from local.console import errors
from local.processes import LocalError
from udfs.partition_windows import EventIngestor, Refused, UnknownPartitionError, Window

Name = str | int


class _Operation(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Ingest(_Operation):
    """An event; without `data` it has none, which is null."""

    op: Literal["ingest"]
    partition: Name
    timestamp: int
    data: Any = None


class Advance(_Operation):
    """A partition's statement of its own progress."""

    op: Literal["advance"]
    partition: Name
    timestamp: int


class Member(_Operation):
    """A partition that takes part from now on, or no more."""

    op: Literal["add", "retire"]
    partition: Name


class Emit(_Operation):
    """Print the windows that are complete."""

    op: Literal["emit"]


Operation = Ingest | Advance | Member | Emit
_OPERATION: TypeAdapter[Operation] = TypeAdapter(Annotated[Operation, Field(discriminator="op")])


def windows(
    events: Annotated[Path, typer.Argument(metavar="EVENTS.jsonl", help="Operations, one on each line.")],
    window: Annotated[int, typer.Option(min=1, help="Size of a window, in the unit of the timestamps.")] = 60,
    partition: Annotated[
        list[str] | None,
        typer.Option(help="A partition there is from the start; once for each. Default: all that the file names."),
    ] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Print windows without events, too.")] = False,
    max_pending: Annotated[int | None, typer.Option(min=1, help="Events of a partition that may wait.")] = None,
    refused: Annotated[Path | None, typer.Option(help="File for the refused events, with line and reason.")] = None,
) -> None:
    """Put events into windows by the watermarks their partitions state; print each emitted window as a JSON line.

    A line is {"op": "ingest" | "advance" | "emit" | "add" | "retire", "partition", "timestamp", "data"}.
    """
    members: Iterable[Name] = partition or _named_from_the_start(events)
    ingestor = EventIngestor(members, window, empty_windows=empty, max_pending=max_pending)
    reasons: Counter[str] = Counter()
    with ExitStack() as files:
        log = files.enter_context(_created(refused)) if refused else None
        for line, result in _results(events, ingestor):
            if isinstance(result, Window):
                typer.echo(_json({"start": result.start, "end": result.end, "events": _events(result)}))
            else:
                reasons[result.reason] += 1
                if log:
                    log.write(_json({"line": line, **result.event._asdict(), "reason": result.reason}) + "\n")
    if reasons:
        counted = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
        errors.print(f"Refused events: {counted}.", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _results(path: Path, ingestor: EventIngestor) -> Iterator[tuple[int, Window | Refused]]:
    """Yield what comes of the operations, each with its line; raises LocalError at one that cannot be done."""
    for line, operation in _operations(path):
        try:
            for result in _apply(ingestor, operation):
                yield line, result
        except UnknownPartitionError as error:
            raise LocalError(f"Line {line} of {path} names an {error}.") from error


def _apply(ingestor: EventIngestor, operation: Operation) -> Iterable[Window | Refused]:
    match operation:
        case Ingest():
            refused = ingestor.ingest(operation.partition, operation.timestamp, operation.data)
            return () if refused is None else (refused,)
        case Advance():
            ingestor.advance_watermark(operation.partition, operation.timestamp)
        case Member(op="add"):
            ingestor.add_partition(operation.partition)
        case Member():
            ingestor.retire_partition(operation.partition)
        case Emit():
            return ingestor.emit_events()
    return ()


def _named_from_the_start(path: Path) -> list[Name]:
    """Return the partitions a file names, in order; not those that an "add" brings."""
    first: dict[Name, bool] = {}  # whether it is there from the start
    for _, operation in _operations(path):
        if not isinstance(operation, Emit):
            first.setdefault(operation.partition, operation.op != "add")
    return [name for name, from_the_start in first.items() if from_the_start]


def _operations(path: Path) -> Iterator[tuple[int, Operation]]:
    """Yield the lines' numbers and operations; empty lines are none."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _operation(line, f"Line {number} of {path}")
    except OSError as error:
        raise LocalError(f"Cannot read {path}: {error.strerror}.") from error


def _operation(line: bytes, where: str) -> Operation:
    try:
        return _OPERATION.validate_python(json.loads(line, parse_constant=_refuse_constant))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"][1:]))
        raise LocalError(f"{where} is no operation: {field + ': ' if field else ''}{first['msg']}.") from error
    except (ValueError, RecursionError) as error:
        raise LocalError(f"{where} is not JSON: {error}.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"there is no {name} in JSON")


def _created(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise LocalError(f"Cannot write {path}: {error.strerror}.") from error


def _events(window: Window) -> list[dict[str, Any]]:
    return [event._asdict() for event in window.events]


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
