"""Values for tests of the pure core: a tenant's rows with everything defaulted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from controlplane.lifecycle.owner_state import Finding, OwnerState, Policy
from controlplane.model import (
    Action,
    ComputeSpec,
    Execution,
    ExecutionState,
    Observed,
    Placement,
    PlacementState,
    Status,
    SubState,
    Tenant,
    TenantRows,
    TenantSpec,
    TriggerSource,
    execution_id,
    resource_name,
)
from controlplane.ports import ExecutionStatus, Origin

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
TENANT_ID = UUID("0190c8c6-0000-7000-8000-00009f8e7d6c")
SPEC = TenantSpec(compute=ComputeSpec(provider="fake"))
OWNERSHIP = Origin(
    installation_id="test",
    tenant_name="acme",
    tenant_id=UUID(int=0xABCDEF12),
    generation=3,
    run=1,
    execution_id="e",
    spec_hash="0" * 16,
)
"""Of a resource that is ours, for what providers send and read."""


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def tenant(status: Status = Status.REQUESTED, **values: Any) -> Tenant:
    generation = values.pop("generation", 1)
    return replace(
        Tenant(
            id=TENANT_ID,
            name="acme",
            labels={},
            annotations={},
            spec=SPEC,
            generation=generation,
            observed_generation=0,
            status=status,
            status_message="",
            conditions=(),
            observed=Observed(),
            newest_execution=execution_id("acme", Action.PROVISION, generation, TENANT_ID),
            serving_execution=None,
            version=1,
            paused=False,
            epoch=1,
            fence=1,
            lease_owner=None,
            lease_expires_at=None,
            created_at=NOW,
            updated_at=NOW,
        ),
        **values,
    )


def execution(
    state: ExecutionState = ExecutionState.QUEUED,
    action: Action = Action.PROVISION,
    generation: int = 1,
    run: int = 1,
    **values: Any,
) -> Execution:
    return replace(
        Execution(
            id=execution_id("acme", action, generation, TENANT_ID, run),
            tenant_id=TENANT_ID,
            tenant_name="acme",
            action=action,
            generation=generation,
            run=run,
            state=state,
            sub_state=None,
            engine="embedded",
            provider_ref=None,
            spec=SPEC,
            trigger_source=TriggerSource.API,
            retry_count=0,
            error=None,
            created_at=NOW,
            started_at=NOW,
        ),
        **values,
    )


def placement(of: Execution) -> Placement:
    return Placement(
        execution_id=of.id,
        tenant_id=TENANT_ID,
        platform="fake",
        platform_identity="cloud",
        generation=of.generation,
        run=of.run,
        name=resource_name("acme", TENANT_ID, of.generation, of.run),
        resource_id=f"id-{of.generation}-{of.run}",
        state=PlacementState.PLACED,
        created_at=NOW,
    )


def rows(owner: Tenant, *executions: Execution, placements: tuple[Placement, ...] = (), **values: Any) -> TenantRows:
    return TenantRows(
        tenant=owner,
        executions=executions,
        steps=values.get("steps", ()),
        placements=placements,
        now=values.get("now", NOW),
    )


POLICY = Policy(idle=60, deadline=600)
FINE = Finding(epoch=1, present=True, running=True, healthy=True)


def following(of: str, sub_state: SubState, **values: object) -> OwnerState:
    return OwnerState(followed=of, reported=ExecutionStatus(sub_state, **values), worked_at=NOW)  # type: ignore[arg-type]


def served(status: Status = Status.READY, **values: object):  # type: ignore[no-untyped-def]
    """A tenant at rest, served by its first provision."""
    first = execution(ExecutionState.SUCCEEDED)
    owner = tenant(status, observed_generation=1, serving_execution=first.id, newest_execution=first.id, **values)
    return owner, first
