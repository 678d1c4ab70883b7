"""Stars that a client sends back (read, change, write) stand for the stored value of the same name, and only where it
stays hidden. Otherwise, stars in another place, which is shown, would be a way to read what they stand for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.model.masking import MASK, marked, mask, mask_at

__all__ = ["MASK", "marked", "mask", "mask_at", "restore"]

_PROBE = "aValueInThePlaceOfTheStars"
"""Takes the place of stars that stand for nothing, to see whether a value would be hidden there."""


def restore(sent: Any, stored: Any) -> tuple[Any, list[str]]:
    """`sent` with each star replaced by the stored value of that name, and the paths that are refused: nothing is
    stored there, or what was hidden would be shown.

    A text or a list of texts with stars in it stands for the stored one if that is shown exactly so. A member of a list
    is found by its `name` (or `key`); without one it stands for nothing. In all other places, stars are a text."""
    refused: list[str] = []
    was = mask(stored)
    if was == stored and MASK not in json.dumps(sent):
        return sent, refused  # as for most specs: there is neither a star nor a secret
    restored = _restored(sent, stored, was, mask(_probed(sent)), "", refused)
    _check(restored, stored, was, mask(restored), "", refused)
    return restored, refused


def _restored(sent: Any, stored: Any, was: Any, probe: Any, path: str, refused: list[str]) -> Any:
    """`was`: how `stored` is shown. `probe`: how `sent` is, with a probe for its stars."""
    if isinstance(sent, Mapping):
        known = [_member(stored, was, name) for name in sent]
        return {
            name: _restored(item, *pair, probe[name], _below(path, name), refused)
            for (name, item), pair in zip(sent.items(), known, strict=True)
        }
    if isinstance(sent, list | tuple):
        pairs = _pairs(sent, stored, was, same=_equal(sent, was))
        return [
            _restored(item, *pairs[index], probe[index], _below(path, index), refused)
            for index, item in enumerate(sent)
        ]
    if not isinstance(sent, str) or MASK not in sent:
        return sent
    if stored is not None and was == sent and stored != sent:
        return stored
    if _PROBE not in probe:
        refused.append(path)
    return sent


def _check(value: Any, stored: Any, was: Any, now: Any, path: str, refused: list[str]) -> None:
    """Refuse what is stored, was hidden, and would be shown. `now`: how `value` will be shown."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check(item, *_member(stored, was, name), now[name], _below(path, name), refused)
    elif isinstance(value, list | tuple):
        pairs = _pairs(value, stored, was, same=_equal(value, stored))
        for index, item in enumerate(value):
            _check(item, *pairs[index], now[index], _below(path, index), refused)
    elif stored is not None and value == stored and was != stored and now not in (was, MASK):
        refused.append(path)


def _member(stored: Any, was: Any, name: str) -> tuple[Any, Any]:
    """What is stored under a name, and how it is shown. A reference is nothing to compare with."""
    if isinstance(stored, Mapping) and isinstance(was, Mapping) and name in stored:
        return stored[name], was[name]
    return None, None


def _pairs(value: Sequence[Any], stored: Any, was: Any, *, same: bool) -> list[tuple[Any, Any]]:
    """For each member of a list, the stored member that it stands for, and how that is shown. `same`: the whole list
    stands for the stored one."""
    if not isinstance(stored, list | tuple) or not isinstance(was, list | tuple):
        return [(None, None)] * len(value)
    if same:
        return list(zip(stored, was, strict=True))
    by_name: dict[str, tuple[Any, Any] | None] = {}
    for member, shown in zip(stored, was, strict=True):
        name = _name(member)
        if name is not None:
            by_name[name] = None if name in by_name else (member, shown)
    found = (by_name.get(name) if (name := _name(item)) is not None else None for item in value)
    return [pair or (None, None) for pair in found]


def _name(member: Any) -> str | None:
    if not isinstance(member, Mapping):
        return None
    name = member.get("name", member.get("key"))
    return name if isinstance(name, str) else None


def _equal(one: Sequence[Any], other: Any) -> bool:
    return isinstance(other, list | tuple) and list(one) == list(other)


def _probed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _probed(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_probed(item) for item in value]
    return value.replace(MASK, _PROBE) if isinstance(value, str) else value


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
