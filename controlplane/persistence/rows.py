"""Rows of the tables as the model's values, and back."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from controlplane.model import (
    Action,
    Condition,
    Endpoint,
    Event,
    Execution,
    ExecutionState,
    Observed,
    Pause,
    Placement,
    PlacementState,
    Status,
    Step,
    StepName,
    StepState,
    StopCause,
    SubState,
    Tenant,
    TenantSpec,
    TriggerSource,
)
from controlplane.text import clean

Row = Mapping[Any, Any]
"""Columns by their name in the database, which for some differs from their key in `tables`."""


def part(row: RowMapping, prefix: str) -> Row:
    """The columns that `tables.prefixed` named."""
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}


def tenant(row: Row) -> Tenant:
    return Tenant(
        id=row["id"],
        name=row["name"],
        labels=row["labels"],
        annotations=row["annotations"],
        spec=TenantSpec.model_validate(row["spec"]),
        generation=row["generation"],
        observed_generation=row["observed_generation"],
        status=Status(row["status"]),
        status_message=row["status_message"],
        conditions=tuple(_condition(item) for item in row["conditions"]),
        observed=observed(row["observed"]),
        newest_execution=row["current_execution"],
        serving_execution=row["serving_execution"],
        version=row["version"],
        paused=row.get("is_paused", row["paused"]),
        epoch=row["epoch"],
        fence=row["fence"],
        lease_owner=row["lease_owner"],
        lease_expires_at=row["lease_expires_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        deletion_requested_at=row["deletion_requested_at"],
        deleted_at=row["deleted_at"],
        pause=Pause(row["paused_by"], row["paused_since"]) if row.get("paused_by") else None,
    )


def execution(row: Row) -> Execution:
    return Execution(
        id=row["id"],
        tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"],
        action=Action(row["action"]),
        generation=row["generation"],
        run=row["run"],
        state=ExecutionState(row["state"]),
        sub_state=SubState(row["sub_state"]) if row["sub_state"] else None,
        engine=row["provider"],
        provider_ref=row["provider_ref"],
        spec=TenantSpec.model_validate(row["spec"]),
        trigger_source=TriggerSource(row["trigger_source"]),
        retry_count=row["retry_count"],
        error=row["error"],
        created_at=row["created_at"],
        next_attempt_at=row["next_attempt_at"],
        superseded_by=row["superseded_by"],
        cancel_requested_at=row["cancel_requested_at"],
        stop_cause=StopCause(row["stop_cause"]) if row["stop_cause"] else None,
        stop_reason=row["stop_reason"],
        stop_requested_at=row["stop_requested_at"],
        activations=row["activations"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        fresh=row["fresh"],
    )


def step(row: Row) -> Step:
    return Step(
        execution_id=row["execution_id"],
        name=StepName(row["name"]),
        state=StepState(row["state"]),
        attempts=row["attempts"],
        error=row["error"],
        next_attempt_at=row["next_attempt_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )


def placement(row: Row) -> Placement:
    return Placement(
        execution_id=row["execution_id"],
        tenant_id=row["tenant_id"],
        platform=row["provider"],
        platform_identity=row["engine_identity"],
        generation=row["generation"],
        run=row["run"],
        name=row["name"],
        resource_id=row["resource_id"],
        state=PlacementState(row["state"]),
        created_at=row["created_at"],
    )


def event(row: Row) -> Event:
    return Event(**row)


def observed(value: Mapping[str, Any]) -> Observed:
    checked = value.get("checked_at")
    return Observed(
        endpoints=tuple(Endpoint(**item) for item in value.get("endpoints", ())),
        resources=value.get("resources", {}),
        healthy=value.get("healthy"),
        checked_at=datetime.fromisoformat(checked) if checked else None,
    )


def observed_json(value: Observed) -> dict[str, Any]:
    return {
        "endpoints": [asdict(endpoint) for endpoint in value.endpoints],
        "resources": dict(value.resources),
        "healthy": value.healthy,
        "checked_at": value.checked_at.isoformat() if value.checked_at else None,
    }


def _condition(value: Mapping[str, Any]) -> Condition:
    return Condition(
        type=value["type"],
        status=value["status"],
        reason=value["reason"],
        message=value["message"],
        since=datetime.fromisoformat(value["since"]),
    )


def conditions_json(values: tuple[Condition, ...]) -> list[dict[str, Any]]:
    return [{**asdict(value), "message": clean(value.message), "since": value.since.isoformat()} for value in values]
