"""The door for text from outside."""

import json
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import LandlordError, Terminal, told
from controlplane.model import SubState
from controlplane.persistence.columns import to_json
from controlplane.ports import ExecutionStatus, ProbeResult, ProviderHealth, Wake
from controlplane.text import DETAIL, clean, storable

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
"""Lone surrogates too."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("exited with 1: no such file", "exited with 1: no such file"),
        ("größe 5 µm, 日本語 🙂", "größe 5 µm, 日本語 🙂"),
        ("fatal\0error", "fatalerror"),
        ("half \ud83d a pair", "half \ufffd a pair"),
        ("\x1b[31mred\x1b[0m \x1b[2J\x1b[1;1Hgone", "red gone"),
        ("\x1b]0;owned\x07title \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "title link"),
        ("\x9b31mred \x9d0;owned\x9cback", "red back"),
        ("\x1bPq#0\x1b\\sixel \x1bcreset", "sixel reset"),
        ("one\r\ntwo\tthree\x0b\x0cfour\u2028five", "one two three four five"),
        ("back\b\b\x7f \x85next", "back  next"),
        ("user\u202etxt.exe \u2066x\u2069 \ufeffy", "usertxt.exe x y"),
        ("\x1b", ""),
        ("  edge \n", "edge"),
        ("a" * 5000, "a" * 3999 + "…"),
    ],
)
def test_what_becomes_of_it(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(ANY_TEXT, st.integers(min_value=2, max_value=100))
def test_whatever_comes_is_one_short_line_that_can_be_stored(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert cleaned.encode("utf-8").decode() == cleaned
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in cleaned)
    assert clean(cleaned, limit) == cleaned


@given(
    st.recursive(ANY_TEXT | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner))
)
def test_json_is_what_it_was_but_for_what_postgres_refuses(value: object) -> None:
    written = to_json(value)
    assert json.loads(written) == storable(json.loads(json.dumps(value)))
    read = json.loads(written)
    json.dumps(read, ensure_ascii=False).encode("utf-8")
    assert "\\u0000" not in written.replace("\\\\", "")


def test_good_json_is_left_alone() -> None:
    value = {"path": "C:\\u0000", "smile": "🙂", "key": "line\nline\t"}
    assert json.loads(to_json(value)) == value


@pytest.mark.parametrize("poison", ["\x1b]" * 20_000, "\x9d" * 40_000, "\x1b[" + "0" * 40_000, "\x1b" + " " * 40_000])
def test_no_text_takes_long(poison: str) -> None:
    began = time.thread_time()  # of the processor: the machine may have others to serve
    clean(poison)
    assert time.thread_time() - began < 0.1


def test_every_maker_of_messages_goes_through_it() -> None:
    poison, shown = "a\0b\x1b[31m\nc", "ab c"
    error = Terminal(poison, made=None)
    assert (error.message, str(error), told(error, "x")) == (shown, shown, shown)
    assert pickle.loads(pickle.dumps(error)).message == shown
    assert isinstance(error, LandlordError)
    assert ProbeResult(False, poison).detail == shown
    assert ProviderHealth(False, poison).detail == shown
    assert Wake("refused", poison).message == shown
    assert ExecutionStatus(SubState.FAILED, error=poison).error == shown
    assert ExecutionStatus(SubState.RUNNING).error is None
    assert len(ProbeResult(False, "x" * 20_000).detail) == DETAIL
