"""Values of variables whose names look secret never leave: answers, plans and events show stars.

If a client sends the stars back (read, change, write), they stand for the stored value.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MASK = "********"
_SECRET_NAME = re.compile(
    r"PASS(WORD|WD|PHRASE)?|SECRET|TOKEN|KEY|CREDENTIAL|PRIVATE|AUTH(?!OR)|DSN|CONNECTION_STRING", re.I
)
_ENVIRONMENTS = frozenset({"env", "environment"})


def looks_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def mask(value: Any, *, environment: bool = False) -> Any:
    """A copy of a config, or a part of it, with stars. `environment`: the value is itself a table of variables."""
    if isinstance(value, Mapping):
        if environment and isinstance(value.get("name"), str) and "value" in value:
            return {**value, "value": _masked(value["name"], value["value"])}
        if environment:
            return {name: _masked(name, item) for name, item in value.items()}
        return {name: mask(item, environment=name in _ENVIRONMENTS) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask(item, environment=environment) for item in value]
    return value


def mask_change(path: str, value: Any) -> Any:
    """A value at a dotted path of a config (a line of a plan)."""
    parts = path.split(".")
    for position, part in enumerate(parts):
        if part in _ENVIRONMENTS:
            rest = [name for name in parts[position + 1 :] if not name.isdigit()]
            if len(rest) > 1 and rest[-1] == "secret":
                return value  # the place of a secret, not its value
            return _masked(".".join(rest), value) if rest else mask(value, environment=True)
    return mask(value)


def restore(config: Any, stored: Any) -> tuple[Any, list[str]]:
    """`config` with each star replaced by the stored value at that place, and the paths without a stored value."""
    missing: list[str] = []
    return _restore(config, stored, (), False, missing), missing


def _masked(name: str, value: Any) -> Any:
    """A reference to a secret is no secret: `{"secret": "env:NAME"}` stays readable."""
    if isinstance(value, Mapping) or value in (None, ""):
        return value
    return MASK if looks_secret(name) else value


def _restore(value: Any, stored: Any, path: tuple[str, ...], environment: bool, missing: list[str]) -> Any:
    if isinstance(value, Mapping):
        known = stored if isinstance(stored, Mapping) else {}
        return {
            name: _restore(item, known.get(name), (*path, name), environment or name in _ENVIRONMENTS, missing)
            for name, item in value.items()
        }
    if isinstance(value, list):
        counterpart = _counterparts(stored)
        return [
            _restore(item, counterpart(item, index), (*path, str(index)), environment, missing)
            for index, item in enumerate(value)
        ]
    if value != MASK or not environment:
        return value
    if stored is None:
        missing.append(".".join(path))
    return stored


def _counterparts(stored: Any) -> Callable[[Any, int], Any]:
    """Finds the stored list member that an item stands for: the one of the same name, else the one at the same place.
    The names are indexed once, since a client chooses the length of both lists."""
    members = stored if isinstance(stored, Sequence) and not isinstance(stored, str) else ()
    named: dict[str, Any] = {}
    for member in members:
        if isinstance(member, Mapping) and isinstance(member.get("name"), str):
            named.setdefault(member["name"], member)

    def counterpart(item: Any, index: int) -> Any:
        if isinstance(item, Mapping) and "name" in item:
            return named.get(item["name"]) if isinstance(item["name"], str) else None
        return members[index] if index < len(members) else None

    return counterpart
