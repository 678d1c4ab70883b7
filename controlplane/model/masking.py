"""One door for what is shown of a spec: values that are secret by name or by form are stars.

Names: those of variables (`env`, `environment`, also as pairs of `name` and `value`), of options and annotations, of a
command's flags, and all that `secret_env` lists. A reference to a secret is no secret and stays readable. Nothing is
decided by a place in a list.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controlplane.secrecy import MASK, hide_line, hide_words, looks_secret

__all__ = ["MASK", "hidden_values", "mask", "mask_at"]

TABLES = frozenset({"annotations", "env", "environment"})
"""Keys of tables of variables: any value there is secret if its name is."""
PUBLIC = frozenset({"labels"})
"""Selectors name their values, so only a form hides one."""
MOST_PARTS = 5
"""A text with more stars in it counts as one secret."""
MARKS = "secret_env"
"""The key that lists names of variables which are secret, whatever their names say."""

_REFERENCE = re.compile(r"(?:env|file):")
_NO_VALUE = re.compile(r"(?:^key|arn|from|parameter|spec|specs)$", re.I)
"""Names of options that name a secret's place, as AWS has them, or nothing secret at all."""

Names = frozenset[str]


def mask(document: Any) -> Any:
    """A copy of a spec, a config or a part of it, with stars. It has the same shape."""
    return _walk(document, None, frozenset(), table=False)


def mask_at(path: str, value: Any, names: Names = frozenset()) -> Any:
    """A value at a dotted path of a document (a line of a plan). `names`: those that `secret_env` lists."""
    parts = path.split(".")
    place = parts[-1] == "secret" and isinstance(value, str) and _REFERENCE.match(value) is not None
    for position, part in enumerate(parts):
        if part in PUBLIC:
            return _walk(value, part if position + 1 == len(parts) else None, names, table=False)
        if part in TABLES and position + 1 < len(parts):
            rest = parts[position + 1 :]
            if len(rest) > 1 and place:
                return value  # the place of a secret, not its value
            return _walk(value, ".".join(name for name in rest if not name.isdigit()) or None, names, table=True)
    if len(parts) > 1 and place:
        return value
    return _walk(value, parts[-1], names, table=parts[-1] in TABLES)


def marked(document: Any) -> Names:
    """All names that `secret_env` lists, anywhere in a config."""
    if isinstance(document, Mapping):
        here = _marks(document)
        return here.union(*(marked(item) for item in document.values()))
    if isinstance(document, list | tuple):
        return frozenset().union(*(marked(item) for item in document))
    return frozenset()


def hidden_values(document: Any) -> Iterator[str]:
    """The values that `mask` hides, for code that must not show them in other texts."""
    return _hidden(document, mask(document))


def _hidden(value: Any, shown: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _hidden(item, shown[name])
    elif isinstance(value, list | tuple):
        for item, masked in zip(value, shown, strict=True):
            yield from _hidden(item, masked)
    elif isinstance(shown, str) and MASK in shown and value != shown:
        yield from _between(str(value), shown.split(MASK))


def _between(text: str, shown: list[str]) -> Iterator[str]:
    """The parts of a text that stand between those that are shown."""
    found = re.fullmatch("(.+?)".join(map(re.escape, shown)), text, re.S) if len(shown) <= MOST_PARTS else None
    yield from found.groups() if found is not None else (text,)


def _walk(value: Any, name: str | None, names: Names, *, table: bool) -> Any:
    """`name`: that under which the value stands. `table`: it is the name of a variable, or that of a table of them."""
    if isinstance(value, Mapping):
        return _mapping(value, name, names, table=table)
    if isinstance(value, list | tuple):
        return list(value) if name == MARKS else _list(value, name, names, table=table)
    if name is not None and _is_secret(name, names, table=table) and (table or isinstance(value, str)):
        return _covered(value)
    return hide_line(value) if isinstance(value, str) else value


def _mapping(value: Mapping[str, Any], name: str | None, names: Names, *, table: bool) -> Any:
    if is_reference(value):
        return dict(value)
    if table and name is not None and _is_secret(name, names, table=True):
        return _covered(value)
    names = names | _marks(value)
    if name in PUBLIC:
        return {key: _walk(item, None, names, table=False) for key, item in value.items()}
    variables = table and name in TABLES
    of = None if variables else value.get("name", value.get("key"))
    shown: dict[str, Any] = {}
    for key, item in value.items():
        if key == "value" and isinstance(of, str):
            shown[key] = _walk(item, of, names, table=True)
        elif key == "value" and table and not variables:
            shown[key] = _covered(item)  # a member of a table whose name was left out
        elif isinstance(of, str) and key in ("name", "key"):
            shown[key] = _walk(item, None, names, table=False)
        else:
            shown[key] = _walk(item, str(key), names, table=table or key in TABLES)
    return shown


def _list(value: Sequence[Any], name: str | None, names: Names, *, table: bool) -> list[Any]:
    secret = name is not None and _is_secret(name, names, table=table)
    words = hide_words([item if isinstance(item, str) else "" for item in value])
    return [
        (_covered(item) if secret else word) if isinstance(item, str) else _walk(item, None, names, table=table)
        for item, word in zip(value, words, strict=True)
    ]


def _is_secret(name: str, names: Names, *, table: bool) -> bool:
    return (table and name in names) or (looks_secret(name) and (table or _NO_VALUE.search(name) is None))


def _covered(value: Any) -> Any:
    """Every value below is a star, except references."""
    if isinstance(value, Mapping):
        return dict(value) if is_reference(value) else {key: _covered(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_covered(item) for item in value]
    return value if value in (None, "") else MASK


def _marks(value: Mapping[str, Any]) -> Names:
    listed = value.get(MARKS)
    return (
        frozenset(item for item in listed if isinstance(item, str)) if isinstance(listed, list | tuple) else frozenset()
    )


def is_reference(value: Any) -> bool:
    """`{"secret": "env:…"}` or `{"secret": "file:…"}`, in the place of a value."""
    return (
        isinstance(value, Mapping)
        and set(value) == {"secret"}
        and isinstance(value["secret"], str)
        and _REFERENCE.match(value["secret"]) is not None
    )
