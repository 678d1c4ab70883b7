"""The data of an event: whole while it is small, shortened beyond that, never larger."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.persistence.event_data import MOST, bounded


def test_small_data_is_kept_as_it_is() -> None:
    data = {"changes": [{"path": "a", "before": None, "after": "x" * 1000}], "from_generation": 1}
    assert bounded(data) == data
    assert bounded(None) == {}


def test_long_texts_and_lists_are_cut() -> None:
    found = bounded({"changes": [{"path": f"p{i}", "after": "x" * 2000} for i in range(100)], "from_generation": 3})
    assert found["shortened"] is True
    assert found["from_generation"] == 3
    assert len(found["changes"]) == 64
    assert found["changes"][0] == {"path": "p0", "after": "x" * 200 + "…"}


@pytest.mark.parametrize("data", [{"a": [["x" * 200] * 64] * 64}, {"a": {str(i): ["x" * 200] * 64 for i in range(64)}}])
def test_what_stays_large_is_left_out(data: dict[str, Any]) -> None:
    assert bounded({**data, "b": 1}) == {"b": 1, "shortened": True}


@given(
    st.dictionaries(st.sampled_from("abcd"), st.lists(st.text(max_size=5).map(lambda text: text * 9000), max_size=9))
)
def test_nothing_is_larger_than_the_bound(data: dict[str, Any]) -> None:
    assert len(json.dumps(bounded(data))) <= MOST + 50
