"""Finds one service in a compose file, with what it extends, and its variables filled in."""

from collections.abc import Mapping
from typing import Any

import yaml

from controlplane.cli import written_yaml
from controlplane.cli.compose.errors import ComposeError
from controlplane.cli.compose.source import Source
from controlplane.cli.written_yaml import Unfit

TABLES = frozenset({"environment", "labels", "annotations", "extra_hosts", "sysctls"})
"""Keys that are lists of `name=value`, or mappings."""
LISTS = frozenset({"dns", "dns_search", "env_file", "tmpfs"})
"""Keys that are lists, or one word."""
DEEPEST = 8
"""So many services may extend each other."""


def find_service(text: str, name: str | None, source: Source) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The name of the service, the service, and the file's own `volumes`. `name` may be left out if there is but one
    service. Raises ComposeError."""
    document = _parsed(text, "the file")
    services = _services(document)
    if name is None:
        if len(services) != 1:
            raise ComposeError("services", f"say which one, as in FILE:{next(iter(services))}: {', '.join(services)}")
        name = next(iter(services))
    service = _extended(services, name, source, DEEPEST)
    volumes = document.get("volumes")
    return name, service, volumes if isinstance(volumes, dict) else {}


def as_mapping(value: Any, key: str) -> Mapping[str, Any]:
    """Raises ComposeError if it is none."""
    if not isinstance(value, Mapping):
        raise ComposeError(key, "must be a mapping")
    return value


def as_table(value: Any, key: str) -> dict[str, Any]:
    """`["A=b", "C"]` as `{"A": "b", "C": None}`; a mapping as it is. Raises ComposeError."""
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ComposeError(key, "must be a mapping, or a list of NAME=VALUE")
    parted = [item.partition("=" if "=" in item or not key.endswith("extra_hosts") else ":") for item in value]
    return {name: text if separator else None for name, separator, text in parted}


def _parsed(text: str, key: str) -> dict[str, Any]:
    try:
        documents = written_yaml.load_all(text)
    except (yaml.YAMLError, Unfit) as error:
        raise ComposeError(key, " ".join(str(error).split())) from None
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise ComposeError(key, "must hold one mapping with `services`")
    return documents[0]


def _services(document: Mapping[str, Any]) -> dict[str, Any]:
    services = document.get("services")
    if isinstance(services, dict) and services:
        return services
    included = "; it takes services from other files by `include`: name that file" if "include" in document else ""
    raise ComposeError("services", f"there is no service in this file{included}")


def _extended(services: Mapping[str, Any], name: str, source: Source, depth: int) -> dict[str, Any]:
    if name not in services:
        raise ComposeError("services", f"there is no {name!r}; there are {', '.join(services)}")
    own = services[name]
    if not isinstance(own, dict):
        raise ComposeError(f"services.{name}", "must be a mapping")
    filled: dict[str, Any] = _filled(own, source, f"services.{name}")
    extends = filled.pop("extends", None)
    if extends is None:
        return filled
    key = f"services.{name}.extends"
    if depth == 0:
        raise ComposeError(key, "services extend each other without end")
    where = {"service": extends} if isinstance(extends, str) else extends
    if not isinstance(where, Mapping) or not isinstance(where.get("service"), str):
        raise ComposeError(key, "must name a service")
    others = services
    if (file := where.get("file")) is not None:
        try:
            others = _services(_parsed(source.read(str(file)), str(file)))
        except (OSError, UnicodeDecodeError):
            raise ComposeError(key, f"{file} cannot be read") from None
    return _merged(_extended(others, where["service"], source, depth - 1), filled)


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """As compose merges a service with the one that it extends: mappings by key, lists one after the other, words and
    commands replaced."""
    merged = dict(base)
    for key, value in over.items():
        was = merged.get(key)
        if key in LISTS and was is not None:
            was, value = ([one] if isinstance(one, str) else one for one in (was, value))
        if key in TABLES and was is not None and value is not None:
            merged[key] = {**as_table(was, key), **as_table(value, key)}
        elif isinstance(was, dict) and isinstance(value, Mapping):
            merged[key] = _merged(was, value)
        elif isinstance(was, list) and isinstance(value, list) and key not in ("command", "entrypoint", "test"):
            merged[key] = [*(item for item in was if item not in value), *value]
        else:
            merged[key] = value
    return merged


def _filled(value: Any, source: Source, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _filled(item, source, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, source, f"{key}.{index}") for index, item in enumerate(value)]
    return source.fill(value, key) if isinstance(value, str) else value
