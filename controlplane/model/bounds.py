"""Bounds on what clients send. Rows that are older than a bound are read all the same, so a bound holds only in a
validation whose context is SENT."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

SENT: Final[Mapping[str, bool]] = {"sent": True}
"""The context of a validation of something that a client has just sent."""
BOUND: Final = "bound"
"""The type of the errors of bounds."""


@dataclass(frozen=True)
class Bound:
    """In `Annotated`: the smallest and greatest number, the most characters of a text, the most items of a list or an
    object. What is too long is refused before its parts are looked at. The error says the bound, and quotes no
    value."""

    ge: float | None = None
    le: float | None = None
    characters: int | None = None
    items: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_wrap_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        shown = handler(schema)
        for variant in shown.get("anyOf", [shown]):
            self._show(variant)
        return shown

    def _show(self, schema: dict[str, Any]) -> None:
        match schema.get("type"):
            case "string" if self.characters is not None:
                schema["maxLength"] = self.characters
            case "array" if self.items is not None:
                schema["maxItems"] = self.items
            case "object" if self.items is not None:
                schema["maxProperties"] = self.items
            case "number" | "integer":
                if self.ge is not None:
                    schema.pop("exclusiveMinimum", None)
                    schema["minimum"] = self.ge
                if self.le is not None:
                    schema["maximum"] = self.le

    def _validate(
        self, value: Any, inner: core_schema.ValidatorFunctionWrapHandler, info: core_schema.ValidationInfo
    ) -> Any:
        if info.context is SENT and (wrong := self._excess(value)):
            raise PydanticCustomError(BOUND, "{wrong}", {"wrong": wrong})
        return inner(value)

    def _excess(self, value: Any) -> str | None:
        if isinstance(value, str):
            return _too_many(len(value), self.characters, "characters")
        if isinstance(value, list | tuple | Mapping):
            return _too_many(len(value), self.items, "items")
        if isinstance(value, int | float):
            if self.ge is not None and value < self.ge:
                return f"must be {self.ge} at least; raise it"
            if self.le is not None and value > self.le:
                return f"must be {self.le} at most; lower it"
        return None


def _too_many(count: int, most: int | None, what: str) -> str | None:
    return None if most is None or count <= most else f"has {count} {what}, of which {most} are allowed; shorten it"
