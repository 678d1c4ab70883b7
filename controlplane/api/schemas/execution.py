"""Executions in answers, in words that fit all engines."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from controlplane.api.schemas.words import words
from controlplane.errors import WaitsFor
from controlplane.model import Action, Execution, ExecutionState, Step, StepName, StepState, SubState, TriggerSource
from controlplane.persistence.tenants import ExecutionLine

WorkflowState = Annotated[
    str, words(("pending", "running", "stopping", "succeeded", "failed", "cancelled", "superseded"))
]
Source = Annotated[str, words(TriggerSource)]


class WorkflowOut(BaseModel):
    """The execution of the newest generation, in words that fit all engines."""

    provider: str
    state: WorkflowState
    sub_state: SubState | None
    retry_count: int
    error: str | None
    next_attempt_at: datetime | None
    trigger_source: Source


class StepOut(BaseModel):
    name: str = Field(description="docs/events.md says of each what it does.", examples=[*StepName])
    state: Annotated[str, words(StepState)]
    attempts: int = Field(description="Attempts that were verdicts on the tenant's own spec, and the present one.")
    waits: int = Field(description="How often it found something missing outside the spec.")
    waits_for: str | None = Field(
        description="The reason of the condition `Waiting` while it waits.", examples=[*WaitsFor]
    )
    error: str | None
    next_attempt_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    in_call_to: str | None = Field(
        description="The platform whose answer the present attempt waits for, once that takes long."
    )
    in_call_since: datetime | None

    @classmethod
    def of(cls, step: Step) -> "StepOut":
        return cls(
            name=step.name.value,
            state=step.state.value,
            attempts=step.attempts,
            waits=step.waits,
            waits_for=step.waits_for,
            error=step.error,
            next_attempt_at=step.next_attempt_at,
            started_at=step.started_at,
            ended_at=step.ended_at,
            in_call_to=step.in_call_to,
            in_call_since=step.in_call_since,
        )


class ExecutionSummary(BaseModel):
    """One line of a tenant's history."""

    id: str
    tenant: str
    tenant_id: UUID
    action: Annotated[str, words(Action)]
    generation: int
    run: int
    provider: str
    state: WorkflowState
    sub_state: SubState | None
    retry_count: int
    error: str | None
    next_attempt_at: datetime | None
    trigger_source: Source
    superseded_by: str | None
    stop_reason: str | None
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, execution: Execution) -> "ExecutionSummary":
        return cls(**_summary(execution))


_EXAMPLE: dict[str, JsonValue] = {
    "id": "tenant-acme-provision-1-9f8e7d6c",
    "tenant": "acme",
    "tenant_id": "0190c8c6-2f6e-7c1a-8e5b-3a7d9f8e7d6c",
    "action": "provision",
    "generation": 1,
    "run": 1,
    "provider": "embedded",
    "state": "running",
    "sub_state": "backing-off",
    "retry_count": 1,
    "error": "image tenant-web:1 is not there yet",
    "next_attempt_at": "2026-01-01T12:00:04Z",
    "trigger_source": "api",
    "superseded_by": None,
    "stop_reason": None,
    "cancel_requested_at": None,
    "created_at": "2026-01-01T12:00:00Z",
    "started_at": "2026-01-01T12:00:00Z",
    "ended_at": None,
    "steps": [
        {
            "name": "apply_compute",
            "state": "backing-off",
            "attempts": 1,
            "waits": 2,
            "waits_for": "ImageNotFound",
            "error": "image tenant-web:1 is not there yet",
            "next_attempt_at": "2026-01-01T12:00:04Z",
            "started_at": "2026-01-01T12:00:00Z",
            "ended_at": None,
            "in_call_to": None,
            "in_call_since": None,
        }
    ],
}


class ExecutionOut(ExecutionSummary):
    """One execution with its steps, in the order in which they run."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    steps: list[StepOut]

    @classmethod
    def of_parts(cls, execution: Execution, steps: tuple[Step, ...]) -> "ExecutionOut":
        return cls(**_summary(execution), steps=[StepOut.of(step) for step in steps])


class ExecutionPage(BaseModel):
    items: list[ExecutionSummary]
    next_cursor: str | None


def shown_state(state: ExecutionState) -> WorkflowState:
    """The state for clients. Whether an execution has reached its engine is internal: queued and starting are both
    `pending`."""
    return "pending" if state in (ExecutionState.QUEUED, ExecutionState.STARTING) else state.value


def shown_sub_state(execution: Execution | ExecutionLine) -> SubState | None:
    return None if shown_state(execution.state) == "pending" else execution.sub_state


def workflow(execution: Execution | ExecutionLine) -> dict[str, Any]:
    """A `WorkflowOut`, ready to be written as JSON."""
    return {
        "provider": execution.engine,
        "state": shown_state(execution.state),
        "sub_state": shown_sub_state(execution),
        "retry_count": execution.retry_count,
        "error": execution.error,
        "next_attempt_at": execution.next_attempt_at,
        "trigger_source": execution.trigger_source.value,
    }


def _summary(execution: Execution) -> dict[str, Any]:
    return {
        "id": execution.id,
        "tenant": execution.tenant_name,
        "tenant_id": execution.tenant_id,
        "action": execution.action.value,
        "generation": execution.generation,
        "run": execution.run,
        "provider": execution.engine,
        "state": shown_state(execution.state),
        "sub_state": shown_sub_state(execution),
        "retry_count": execution.retry_count,
        "error": execution.error,
        "next_attempt_at": execution.next_attempt_at,
        "trigger_source": execution.trigger_source.value,
        "superseded_by": execution.superseded_by,
        "stop_reason": execution.stop_reason,
        "cancel_requested_at": execution.cancel_requested_at,
        "created_at": execution.created_at,
        "started_at": execution.started_at,
        "ended_at": execution.ended_at,
    }
