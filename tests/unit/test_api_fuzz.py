"""Whatever strangers send is either a value or a refusal."""

import json
import sys
import tracemalloc
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.api import cursors
from controlplane.api.strict_json import MAX_DEPTH, parse
from controlplane.errors import Refused

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@settings(max_examples=300, deadline=None)
@given(st.binary() | st.text().map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes(body: bytes) -> None:
    _parsed(body)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(0, 200), st.binary(max_size=3))
def test_json_with_something_put_into_it(value: Any, position: int, noise: bytes) -> None:
    body = json.dumps(value).encode()
    _parsed(body[:position] + noise + body[position:])


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_cursor(text: str) -> None:
    with suppress(Refused):
        assert cursors.decode(text, "tenants", str)


def test_ten_thousand_hostile_bodies_leave_nothing_behind() -> None:
    hostile = [
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b"9" * 4_000,
        b"-" + b"9" * 4_301,
        b"1e400",
        b'"\\ud800"',
        b'"\\u0000"',
        b'{"a":1,"a":2}',
        b"\xff\xfe[\x00",
        ('"' + "𝕏" * 50_000 + '"').encode(),
    ]
    for body in hostile:
        _parsed(body)
    tracemalloc.start()
    for _ in range(1_000):
        for body in hostile:
            _parsed(body[:2_000])
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < 1_000_000


def test_depth_is_bounded_well_below_the_interpreters() -> None:
    assert sys.getrecursionlimit() > MAX_DEPTH * 20
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None


def test_a_whole_number_is_an_integer_however_it_is_written() -> None:
    found = parse(b"[1.0, -0.0, 1e3, 1.5, 1e300]")
    assert found == [1, 0, 1000, 1.5, 1e300]
    assert [type(item) for item in found] == [int, int, int, float, float]


def _parsed(body: bytes) -> None:
    with suppress(Refused):
        json.dumps(parse(body), allow_nan=False).encode()
