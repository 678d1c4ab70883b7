"""The plan of a change."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class ChangeOut(BaseModel):
    """One difference: a dotted path of the tenant's document, its value before and after."""

    path: str
    before: Any
    after: Any


class PlanOut(BaseModel):
    """The effect that the request would have without `dry_run`. Nothing of it is stored."""

    dry_run: Literal[True] = True
    action: Literal["provision", "update", "delete", "none"]
    generation: int = Field(description="The tenant's generation afterwards.")
    workflow_execution_id: str = Field(description="Id of the tenant's newest execution afterwards.")
    changes: list[ChangeOut]
