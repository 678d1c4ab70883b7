"""What a change would do."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class ChangeOut(BaseModel):
    """One difference: a dotted path of the tenant's document, its value before and after."""

    path: str
    before: Any
    after: Any


class PlanOut(BaseModel):
    """What a request would do, were it not for `dry_run`. Nothing of it is stored."""

    dry_run: Literal[True] = True
    action: Literal["provision", "update", "delete", "none"]
    generation: int = Field(description="The tenant's generation afterwards.")
    workflow_execution_id: str = Field(description="Id of the tenant's newest execution afterwards.")
    changes: list[ChangeOut]
