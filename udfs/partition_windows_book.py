"""What a bucket of partitions knows, and writes down as its state."""

import json
from collections import Counter
from dataclasses import dataclass, field

from udfs.partition_windows_members import Member, Said
from udfs.partition_windows_progress import NEVER

_NUMBERED = ("windows", "waiting", "positions")  # whose keys are numbers, which JSON has not


@dataclass(frozen=True)
class WindowRules:
    """Window and `unknown_timeout` in milliseconds, bytes of one partition that may wait, and the number of buckets."""

    window: int
    max_pending_bytes: int
    unknown_timeout: int
    buckets: int


@dataclass
class Book:
    """All that a bucket knows but the events themselves, which lie in slices.

    `passed`: where the windows end that the global watermark has passed; `closed`: those of them that are published.
    `windows`: the slices of each window that waits, by its start. `waiting`: slices of unknown partitions' events, each
    with the time (epoch ms) until which they may still be added; `waiting_bytes`: of their values.
    """

    passed: float = NEVER
    closed: float = NEVER
    members: dict[str, Member] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)  # how far each partition of Kafka is read
    pending: Counter[str] = field(default_factory=Counter)  # bytes, by partition
    windows: dict[int, list[int]] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)
    waiting_bytes: int = 0
    slices: int = 0  # made so far

    def written(self, rules: WindowRules) -> str:
        """Return the book as JSON, with the rules that the state depends on."""
        members = {name: [member.said, member.read, member.idle] for name, member in self.members.items()}
        fixed = [rules.window, rules.buckets]
        return json.dumps([fixed, vars(self) | {"members": members}], separators=(",", ":"))

    @classmethod
    def read(cls, text: str, rules: WindowRules) -> "Book":
        """Read what was `written`; raises RuntimeError when window or buckets are not what they were."""
        fixed, entries = json.loads(text)
        if fixed != [rules.window, rules.buckets]:
            raise RuntimeError(
                f"window, buckets: state made with {fixed} ms and buckets cannot be restored with others"
            )
        members = {
            name: Member([Said(*statement) for statement in said], read, idle)
            for name, (said, read, idle) in entries["members"].items()
        }
        numbered = {name: {int(key): value for key, value in entries[name].items()} for name in _NUMBERED}
        return cls(**entries | numbered | {"members": members, "pending": Counter(entries["pending"])})
