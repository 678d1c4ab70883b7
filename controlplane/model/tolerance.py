"""How a row is read that a newer release may have written: nothing in it is refused, and nothing is lost.

A word that this release does not know stays that word. It equals none of the known ones, so no rule acts on it. A field
that this release does not know is kept beside the known ones, and is written back with them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

W = TypeVar("W", bound=StrEnum)


def word(kind: type[W], value: str) -> W:
    """The member with that value. Of another release's word: a value of the same type that is no member."""
    try:
        return kind(value)
    except ValueError:
        unknown = str.__new__(kind, value)
        unknown._name_ = unknown._value_ = value
        return unknown


def is_known(word: StrEnum) -> bool:
    """True if this release has the word."""
    return any(word is member for member in type(word))


def overlay(known: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Both, merged part by part; where both have a value, that of `more`."""
    merged = dict(known)
    for name, value in more.items():
        before = merged.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[name] = overlay(before, value) if both else value  # type: ignore[arg-type]
    return merged


def beyond(document: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of `document` that are not in `known`. A member of `known` that is no mapping knows all of its own."""
    more: dict[str, Any] = {}
    for name, value in document.items():
        if name not in known:
            more[name] = value
            continue
        inside = known[name]
        # None first: to ask what is a mapping costs as much as all the rest.
        if inside is None or not isinstance(inside, Mapping) or not isinstance(value, Mapping):
            continue
        if inner := beyond(value, inside):
            more[name] = inner
    return more


def without_nulls(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: without_nulls(value) if isinstance(value, Mapping) else value
        for name, value in document.items()
        if value is not None
    }
