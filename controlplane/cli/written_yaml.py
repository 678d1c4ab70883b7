"""YAML as people write it, for documents that become JSON.

Plain scalars follow YAML 1.2's core schema: `on`, `12:30` and `2024-05-01` are text, not true, 750 and a date. If the
API takes the values below a key as text, every scalar there is text as it was written: `PORT: 8080` is "8080".
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

TEXT_BELOW = frozenset({"labels", "annotations", "env", "environment", "headers", "command", "entrypoint"})
"""Below a key of these names every scalar is text, but null, which removes a key."""

_STRING, _NULL = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"
_BOOL, _INT, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_MERGE = "tag:yaml.org,2002:merge"


class Unfit(Exception):
    """This YAML has no form in JSON; the message names the key and the way out."""


class _Core(yaml.SafeLoader):
    """Resolves plain scalars by YAML 1.2's core schema (section 10.3.2 of the specification), and merges (`<<`)."""

    # PyYAML's stubs call it an instance's.
    yaml_implicit_resolvers = {}  # noqa: RUF012


_Core.add_implicit_resolver(_NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Core.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Core.add_implicit_resolver(_INT, re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789"))
_Core.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)
_Core.add_implicit_resolver(_MERGE, re.compile(r"^<<$"), ["<"])


def load(text: str, path: tuple[str, ...] = ()) -> Any:
    """One document as JSON's types. `path`: the keys that it is going to be below.

    Raises yaml.YAMLError if it is not one document of YAML, Unfit."""
    loader = _Core(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _value(node, path, ())
    finally:
        loader.dispose()


def load_all(text: str) -> list[Any]:
    """Each document, parted by `---`; empty ones are left out. Raises as `load` does."""
    loader = _Core(text)
    try:
        found = []
        while loader.check_node():
            if (node := loader.get_node()) is not None:
                found.append(_value(node, (), ()))
        return [document for document in found if document is not None]
    finally:
        loader.dispose()


def _value(node: yaml.Node, path: tuple[str, ...], within: tuple[int, ...]) -> Any:
    if id(node) in within:
        raise Unfit(f"{_place(path)} contains itself")
    within = (*within, id(node))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, within)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, str(index)), within) for index, item in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(node, path)


def _mapping(node: yaml.MappingNode, path: tuple[str, ...], within: tuple[int, ...]) -> dict[str, Any]:
    own: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key, value in node.value:
        if key.tag == _MERGE:
            for one in _merged(value, path):
                merged = {**_mapping(one, path, within), **merged}
            continue
        if not isinstance(key, yaml.ScalarNode):
            raise Unfit(f"a key of {_place(path)} is not text")
        if key.value in own:
            raise Unfit(f"{_place((*path, key.value))} is there twice")
        own[key.value] = _value(value, (*path, key.value), within)
    return {**merged, **own}


def _merged(value: yaml.Node, path: tuple[str, ...]) -> Iterator[yaml.MappingNode]:
    for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
        if not isinstance(one, yaml.MappingNode):
            raise Unfit(f"<< of {_place(path)} needs a mapping")
        yield one


def _scalar(node: yaml.ScalarNode, path: tuple[str, ...]) -> Any:
    text: str = node.value
    plain = node.tag in (_BOOL, _INT, _FLOAT) and node.style is None
    if node.tag == _STRING or (plain and not TEXT_BELOW.isdisjoint(path)):
        return text
    if node.tag == _NULL:
        return None
    if node.tag == _BOOL:
        return text.lower() == "true"
    if node.tag == _INT:
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if node.tag == _FLOAT and not text.lower().endswith(("inf", "nan")):
        return float(text)
    kind = node.tag.rpartition(":")[2]
    found = f"{text[:40]!r} is a {kind}, which JSON does not have"
    raise Unfit(f"{_place(path)}: {found}; put it in quotes to send it as text")


def _place(path: tuple[str, ...]) -> str:
    return ".".join(path) or "the document"
