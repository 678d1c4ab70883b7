"""Whatever text a writer hands to any column of any table, Postgres can store it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import types
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.model import Endpoint
from controlplane.persistence import tables
from controlplane.persistence.columns import Message, Text, to_json
from controlplane.text import MESSAGE

ANY = st.text(st.characters(exclude_categories=())) | st.just("a\0b\ud800\x1b[31m\nc" + "x" * 10_000)
COLUMNS = [column for table in tables.metadata.tables.values() for column in table.c]
POSTGRES = postgresql.dialect()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("column", COLUMNS, ids=str)
def test_no_column_takes_text_past_the_net(column: Any) -> None:
    """A plain text type, or JSON without our serializer, would be a hole."""
    if isinstance(column.type, JSONB):
        return  # `to_json` is the serializer of the database, see below
    if isinstance(column.type, types.String | types.TypeDecorator):
        assert isinstance(column.type, Text | Message), column


@given(ANY)
def test_text_can_be_stored(text: str) -> None:
    for kind in (Text(), Message()):
        stored = kind.process_bind_param(text, POSTGRES)
        assert stored is not None
        assert "\0" not in stored
        stored.encode()
    line = Message().process_bind_param(text, POSTGRES) or ""
    assert len(line) <= MESSAGE
    assert line.isprintable() or not any(ord(sign) < 32 for sign in line)


@given(st.recursive(ANY | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)))
def test_json_can_be_stored(value: Any) -> None:
    for text in _texts(json.loads(to_json(value))):
        assert "\0" not in text
        text.encode()


@given(ANY, ANY)
def test_an_endpoint_is_two_lines_for_people(name: str, url: str) -> None:
    endpoint = Endpoint(name, url, 1)
    assert Endpoint(endpoint.name, endpoint.url, 1) == endpoint
    assert max(len(endpoint.name), len(endpoint.url)) <= 2_000
    assert not any(ord(sign) < 32 for sign in endpoint.name + endpoint.url)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []
