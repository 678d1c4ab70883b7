"""What of an OpenAPI document breaks clients of an older one. Pure; knows as much of JSON Schema as our document uses.

A request breaks where less is accepted than before, an answer where less is promised. New paths, statuses, optional
members, and new values of an enum in an answer are no breaks: docs/api.md tells clients to expect them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
ROLES = (None, "viewer", "operator", "admin")
TYPES = frozenset({"string", "integer", "number", "boolean", "object", "array", "null"})
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")


def breaking(old: Json, new: Json) -> list[str]:
    """One line for each thing that a client of `old` may have relied on and that `new` does not give."""
    return list(_Comparison(old, new).paths())


@dataclass
class _Comparison:
    old: Json
    new: Json
    met: set[tuple[str, str, str]] = field(default_factory=set)
    """Pairs of references that were compared, or are being: schemas may be recursive."""

    def paths(self) -> Iterator[str]:
        for path, operations in self.old["paths"].items():
            for method in (method for method in METHODS if method in operations):
                where = f"{method.upper()} {path}"
                operation = self.new["paths"].get(path, {}).get(method)
                if operation is None:
                    yield f"{where}: removed"
                else:
                    yield from self.operation(where, operations[method], operation)

    def operation(self, where: str, old: Json, new: Json) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{where}: the operation id was {old['operationId']}"
        if ROLES.index(new.get("x-required-role")) > ROLES.index(old.get("x-required-role")):
            yield f"{where}: needs a larger role"
        yield from self.parameters(where, _parameters(old), _parameters(new))
        yield from self.body(f"{where}: body", old.get("requestBody", {}), new.get("requestBody", {}))
        for status, answer in old["responses"].items():
            if status in new["responses"]:
                yield from self.answer(f"{where}: {status}", answer, new["responses"][status])
            else:
                yield f"{where}: {status} removed"

    def parameters(self, where: str, old: Json, new: Json) -> Iterator[str]:
        for name, parameter in new.items():
            if parameter.get("required") and not old.get(name, {}).get("required"):
                yield f"{where}: {name} is required now"
        for name, parameter in old.items():
            if name in new:
                yield from self.accepted(f"{where}: {name}", parameter["schema"], new[name]["schema"])
            else:
                yield f"{where}: {name} removed"

    def body(self, where: str, old: Json, new: Json) -> Iterator[str]:
        if new.get("required") and not old.get("required"):
            yield f"{where} is required now"
        for media_type, content in old.get("content", {}).items():
            if media_type in new.get("content", {}):
                yield from self.accepted(where, content["schema"], new["content"][media_type]["schema"])
            else:
                yield f"{where}: {media_type} removed"

    def answer(self, where: str, old: Json, new: Json) -> Iterator[str]:
        for header in old.get("headers", {}):
            if header not in new.get("headers", {}):
                yield f"{where}: header {header} removed"
        for media_type, content in old.get("content", {}).items():
            if media_type in new.get("content", {}):
                yield from self.promised(where, content["schema"], new["content"][media_type]["schema"])
            else:
                yield f"{where}: {media_type} removed"

    def accepted(self, where: str, old: Json, new: Json) -> Iterator[str]:
        """Whatever `old` accepted of a client, `new` must."""
        if self._known("accepted", old, new):
            return
        old, new = _resolved(old, self.old), _resolved(new, self.new)
        if "anyOf" in old or "anyOf" in new:
            for number, variant in enumerate(_variants(old)):
                if all(any(self.accepted(where, variant, other)) for other in _variants(new)):
                    yield f"{where}: alternative {number} is not accepted any more"
            return
        if lost := _types(old) - _types(new) - ({"integer"} if "number" in _types(new) else set()):
            yield f"{where}: {', '.join(sorted(lost))} is not accepted any more"
        if not _values(old) <= _values(new):
            yield f"{where}: fewer values are accepted"
        for bound in (*UPPER, *LOWER):
            if bound in new and (bound not in old or _tighter(bound, old[bound], new[bound])):
                yield f"{where}: {bound} is {new[bound]} now"
        for rule in ("pattern", "oneOf", "format"):
            if rule in new and new[rule] != old.get(rule):
                yield f"{where}: another {rule}"
        for name in sorted({*new.get("required", ())} - {*old.get("required", ())}):
            yield f"{where}.{name} is required now"
        closed = new.get("additionalProperties") is False
        if closed and old.get("additionalProperties") is not False and "object" in _types(old):
            yield f"{where}: unknown members are not accepted any more"
        for name in old.get("properties", {}):
            if closed and name not in new.get("properties", {}):
                yield f"{where}.{name} is not accepted any more"
        yield from self._members(self.accepted, where, old, new)

    def promised(self, where: str, old: Json, new: Json) -> Iterator[str]:
        """Whatever `old` promised of an answer, `new` must."""
        if self._known("promised", old, new):
            return
        old, new = _resolved(old, self.old), _resolved(new, self.new)
        if "anyOf" in old or "anyOf" in new:
            for number, variant in enumerate(_variants(new)):
                if all(any(self.promised(where, other, variant)) for other in _variants(old)):
                    yield f"{where}: alternative {number} was not there before"
            return
        if strange := _types(new) - _types(old) - ({"integer"} if "number" in _types(old) else set()):
            yield f"{where}: may be {', '.join(sorted(strange))} now"
        for name in sorted({*old.get("required", ())} - {*new.get("required", ())}):
            yield f"{where}.{name} is not always there any more"
        yield from self._members(self.promised, where, old, new)

    def _members(self, compare: Callable[[str, Json, Json], Iterator[str]], where: str, old: Json, new: Json) -> Any:
        for name, schema in old.get("properties", {}).items():
            if name in new.get("properties", {}):
                yield from compare(f"{where}.{name}", schema, new["properties"][name])
        for inner, shown in (("items", "[]"), ("additionalProperties", ".*"), ("propertyNames", ".*")):
            if isinstance(old.get(inner), Mapping) and isinstance(new.get(inner), Mapping):
                yield from compare(where + shown, old[inner], new[inner])

    def _known(self, direction: str, old: Json, new: Json) -> bool:
        if "$ref" not in old or "$ref" not in new:
            return False
        pair = (direction, old["$ref"], new["$ref"])
        known = pair in self.met
        self.met.add(pair)
        return known


def _parameters(operation: Json) -> dict[str, Json]:
    return {f"{one['in']} {one['name']}": one for one in operation.get("parameters", ())}


def _resolved(schema: Json, document: Json) -> Json:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _variants(schema: Json) -> list[Json]:
    return list(schema.get("anyOf", [schema]))


def _types(schema: Json) -> set[str]:
    found = schema.get("type", TYPES)
    return {found} if isinstance(found, str) else set(found)


class _Anything(frozenset[str]):
    """The values of a schema that names none: a superset of all."""

    def __ge__(self, _: object) -> bool:
        return True

    def __le__(self, other: object) -> bool:
        return isinstance(other, _Anything)


def _values(schema: Json) -> frozenset[str]:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return _Anything() if values is None else frozenset(map(repr, values))


def _tighter(bound: str, old: float, new: float) -> bool:
    return new < old if bound in UPPER else new > old
