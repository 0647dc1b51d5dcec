"""What users type and read: points in time, and values that may hold anything."""

from datetime import UTC, datetime

from local.processes import LocalError

LONGEST_SHOWN = 500
LAST_MS = 253_402_300_799_999  # of the year 9999


def epoch_ms(text: str) -> int:
    """Read epoch milliseconds, or an ISO 8601 time (UTC unless it says otherwise); LocalError for anything else."""
    try:
        if text.isdecimal() and int(text) <= LAST_MS:
            return int(text)
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise LocalError(f"{text!r} is no time such as 2026-01-01T12:00:00Z, nor epoch milliseconds.") from error
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def iso_time(milliseconds: int) -> str:
    """Write epoch milliseconds as ISO 8601 in UTC; as a number what no calendar has."""
    try:
        time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def readable(value: bytes | None) -> str:
    """Return a value as text that can do a terminal no harm, cut if it is long.

    Bytes that are not UTF-8 and characters that do not print (controls, marks that turn the direction of writing) are
    shown as escapes.
    """
    if value is None:
        return "(no value)"
    text = value[:LONGEST_SHOWN].decode(errors="backslashreplace")
    shown = "".join(character if character.isprintable() else _escaped(character) for character in text)
    return shown if len(value) <= LONGEST_SHOWN else f"{shown}… ({len(value):,} bytes)"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
