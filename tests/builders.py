"""One click, built one way, at named instants."""

import json

NOON = 1_767_268_800_000  # 2026-01-01T12:00:00Z
SECOND = 1_000
MINUTE = 60 * SECOND
FAR_FUTURE = 2**62


def a_click(**overrides: object) -> dict[str, object]:
    """A valid click at noon; a field given as `...` is left out."""
    fields = {"ad_id": "ad-1", "user_id": "user-1", "ip": "10.0.0.1", "click_timestamp": NOON} | overrides
    return {name: value for name, value in fields.items() if value is not ...}


def raw(**overrides: object) -> bytes:
    """The same click as the bytes a producer sends."""
    return json.dumps(a_click(**overrides)).encode()
