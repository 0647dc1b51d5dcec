"""What the dedupe emits (`udfs.dedupe`): the types of its main output and its side outputs."""

from pyflink.common import TypeInformation, Types
from pyflink.datastream import OutputTag

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())

COUNTS = Types.ROW_NAMED(
    ["start", "clicks", "raw", "counted", "duplicate", "late", "invalid"],
    [Types.LONG(), Types.MAP(Types.STRING(), Types.LONG()), *5 * [Types.LONG()]],
)
"""What became of some records of one window: the counted clicks per ad, and the ledger's terms."""
BY_COUNTRY = OutputTag(
    "by-country",
    Types.ROW_NAMED(
        ["start", "clicks"],
        [Types.LONG(), Types.MAP(Types.STRING(), Types.MAP(Types.STRING(), Types.LONG()))],
    ),
)
"""The counted clicks of some records of one window, per country and ad; where they were packed by country."""

_RECORD = {
    "key": BYTES,
    "value": BYTES,
    "partition": Types.INT(),
    "offset": Types.LONG(),
    "timestamp": Types.LONG(),
}


def _records(columns: dict[str, TypeInformation]) -> TypeInformation:
    """Return the type of rows with one column, `records`: several records cross to the JVM as one."""
    record = Types.ROW_NAMED([*columns], [*columns.values()])
    return Types.ROW_NAMED(["records"], [Types.OBJECT_ARRAY(record)])


LATE = OutputTag("late", _records(_RECORD))
"""Late clicks: their own bytes and their origin."""
INVALID = OutputTag("invalid", _records({"reason": Types.STRING(), **_RECORD}))
"""Invalid or filtered records: the reason, their own bytes and their origin."""
