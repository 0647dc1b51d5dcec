"""What a click is to the peers in Python."""

import hashlib
from typing import Any

FIELDS = ("click_timestamp", "user_id", "ad_id", "ip")


def identity(click: dict[str, Any]) -> str:
    """Return what stands for a click: a digest of the client's own id, or of the four fields."""
    own = click.get("click_id")
    text = f"c{own}" if own else f"t{'|'.join(str(click[name]) for name in FIELDS)}"
    return hashlib.md5(text.encode()).hexdigest()
