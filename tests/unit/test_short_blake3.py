import numpy as np
import pytest
from blake3 import blake3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from udfs.short_blake3 import MAX_BYTES, digest


@settings(deadline=None)  # the first call compiles
@given(st.binary(max_size=MAX_BYTES))
@example(b"")
@example(bytes(64))
@example(b"\xff" * 65)
@example(b"x" * MAX_BYTES)
def test_it_is_the_digest_of_the_library(text: bytes) -> None:
    assert digest_of(text, 16) == blake3(text).digest(16)


@pytest.mark.parametrize("length", [4, 16, 32])
def test_a_digest_has_the_length_that_is_asked_for(length: int) -> None:
    assert digest_of(b"text", length) == blake3(b"text").digest(length)


def digest_of(text: bytes, length: int) -> bytes:
    buffer, out = np.full(MAX_BYTES, 0xEE, np.uint8), np.empty(length, np.uint8)
    buffer[: len(text)] = np.frombuffer(text, np.uint8)
    digest(buffer, len(text), out)
    return out.tobytes()
