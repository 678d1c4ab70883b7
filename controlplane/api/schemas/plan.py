"""The plan of a change."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class ChangeOut(BaseModel):
    """One difference: a dotted path of the tenant's document, its value before and after."""

    path: str
    before: Any
    after: Any


def _without_default(schema: dict[str, Any]) -> None:
    """Generators for Java make an enumeration of a constant, which then cannot have a truth value as its default."""
    schema.pop("default", None)


class PlanOut(BaseModel):
    """The effect that the request would have without `dry_run`. Nothing of it is stored."""

    dry_run: Literal[True] = Field(default=True, json_schema_extra=_without_default)
    action: Literal["provision", "update", "delete", "none"]
    generation: int = Field(description="The tenant's generation afterwards.")
    workflow_execution_id: str = Field(description="Id of the tenant's newest execution afterwards.")
    changes: list[ChangeOut]
