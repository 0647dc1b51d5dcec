import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.corrections import as_flink_writes


@pytest.mark.parametrize(
    ("ad_id", "written"),
    [
        ("ad", b'"ad"'),
        ("ü😀", '"ü😀"'.encode()),
        ("\x1e\x00", rb'"\u001E\u0000"'),
        ('"\\u001e\n', rb'"\"\\u001e\n"'),
        ("\x7f/", b'"\x7f/"'),
    ],
)
def test_keys_are_byte_for_byte_those_that_flink_writes(ad_id, written):
    assert as_flink_writes({"ad_id": ad_id, "window_start": 1}) == b'{"ad_id":' + written + b',"window_start":1}'


@given(st.text())
def test_any_ad_is_read_back_as_it_was(ad_id):
    assert json.loads(as_flink_writes({"ad_id": ad_id})) == {"ad_id": ad_id}
