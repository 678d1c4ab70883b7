"""Checks whether a value fits the request of an AWS operation, without asking AWS.

The shapes come from the model that ships with the SDK; this module only walks them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "string": (str, "must be a string"),
    "integer": (int, "must be an integer"),
    "long": (int, "must be an integer"),
    "double": ((int, float), "must be a number"),
    "float": ((int, float), "must be a number"),
    "boolean": (bool, "must be true or false"),
    "structure": (Mapping, "must be an object"),
    "map": (Mapping, "must be an object"),
    "list": (list, "must be a list"),
}


def misfits(shape: Any, value: Any, loc: str) -> list[dict[str, str]]:
    """The parts of `value` that the SDK would refuse, as InvalidConfig's `errors`. No message quotes a value."""
    return [{"loc": where, "message": message} for where, message in _walk(shape, value, loc)]


def _walk(shape: Any, value: Any, loc: str) -> Iterator[tuple[str, str]]:
    kind = shape.type_name
    expected, message = KINDS.get(kind, (object, ""))
    fits = isinstance(value, expected) and (kind == "boolean" or not isinstance(value, bool))
    if not fits:
        yield loc, message
    elif kind == "structure":
        for name in shape.required_members:
            if name not in value:
                yield f"{loc}.{name}", "Field required"
        for name, item in value.items():
            if name in shape.members:
                yield from _walk(shape.members[name], item, f"{loc}.{name}")
            else:
                yield f"{loc}.{name}", "AWS knows no such field"
    elif kind == "list":
        for index, item in enumerate(value):
            yield from _walk(shape.member, item, f"{loc}.{index}")
    elif kind == "map":
        for name, item in value.items():
            yield from _walk(shape.value, item, f"{loc}.{name}")
