"""The data of an event, bounded: the trail keeps each event for months, and a client chooses how large a change is."""

import json
from collections.abc import Mapping
from typing import Any

MOST = 64 * 1024
"""Bytes of JSON."""
_TEXT = 200
_ITEMS = 64


def bounded(data: Mapping[str, Any] | None) -> dict[str, Any]:
    """The data if it is small enough. Else its texts and lists are cut, if need be its parts are left out, and
    `shortened` is true."""
    whole = dict(data or {})
    if _small(whole):
        return whole
    cut = {name: _cut(value) for name, value in whole.items()}
    if not _small(cut):
        cut = {name: value for name, value in cut.items() if not isinstance(value, dict | list)}
    return {**cut, "shortened": True}


def _small(data: Mapping[str, Any]) -> bool:
    return len(json.dumps(data)) <= MOST


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _TEXT else f"{value[:_TEXT]}…"
    if isinstance(value, Mapping):
        return {name: _cut(item) for name, item in list(value.items())[:_ITEMS]}
    if isinstance(value, list | tuple):
        return [_cut(item) for item in value[:_ITEMS]]
    return value
