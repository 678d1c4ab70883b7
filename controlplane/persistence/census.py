"""What the supervisor's sweep reads: which tenants are due, and what the rows say of resources that were seen."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import ACTIVE, CURRENT, ExecutionState, PlacementState, Status
from controlplane.persistence.tables import clusters, executions, heartbeats, placements, tenants


@dataclass(frozen=True, slots=True)
class TenantKey:
    id: UUID
    name: str


async def due(engine: AsyncEngine) -> list[TenantKey]:
    """Tenants with an execution that is queued or active and not waiting for its next attempt, oldest first.

    An active one may have a live owner, for whom one more wake-up is harmless."""
    query = (
        select(tenants.c.id, tenants.c.name)
        .join(executions, executions.c.tenant_id == tenants.c.id)
        .where(
            tenants.c.deleted_at.is_(None),
            or_(
                and_(
                    executions.c.state == ExecutionState.QUEUED,
                    or_(executions.c.next_attempt_at.is_(None), executions.c.next_attempt_at <= func.clock_timestamp()),
                ),
                executions.c.state.in_(ACTIVE),
            ),
        )
        .group_by(tenants.c.id, tenants.c.name)
        .order_by(func.min(executions.c.created_at))
    )
    async with engine.connect() as connection:
        return [TenantKey(row.id, row.name) for row in await connection.execute(query)]


@dataclass(frozen=True, slots=True)
class ExecutionFact:
    """What the rows say of the execution that a resource names."""

    tenant: TenantKey
    state: ExecutionState
    serving: bool
    tenant_deleted: bool

    @property
    def leftover(self) -> bool:
        """Its resource should not exist: a stable fact (stopping never goes back, nor does the switch).

        A replaced resource of an execution that succeeded is no longer serving either; the delete and retire steps
        remove it, and this rule when they could not."""
        if self.tenant_deleted:
            return True
        return not self.serving and self.state not in (ExecutionState.QUEUED, *CURRENT)


async def facts(engine: AsyncEngine, execution_ids: Collection[str]) -> Mapping[str, ExecutionFact]:
    """By execution id; those that no row knows are absent."""
    query = (
        select(
            executions.c.id,
            executions.c.state,
            tenants.c.id.label("tenant_id"),
            tenants.c.name,
            tenants.c.serving_execution,
            tenants.c.deleted_at,
        )
        .join(tenants, tenants.c.id == executions.c.tenant_id)
        .where(executions.c.id.in_(execution_ids))
    )
    async with engine.connect() as connection:
        return {
            row.id: ExecutionFact(
                tenant=TenantKey(row.tenant_id, row.name),
                state=ExecutionState(row.state),
                serving=row.serving_execution == row.id,
                tenant_deleted=row.deleted_at is not None,
            )
            for row in await connection.execute(query)
        }


@dataclass(frozen=True, slots=True)
class Serving:
    """A resting tenant and where it is served from."""

    tenant: TenantKey
    execution_id: str
    provider: str
    engine_identity: str
    resource_id: str | None
    epoch: int


async def resting(engine: AsyncEngine) -> list[Serving]:
    """Tenants with a serving execution, nothing queued or active, and no deletion asked for."""
    unfinished = (
        select(executions.c.id)
        .where(executions.c.tenant_id == tenants.c.id, executions.c.state.in_((ExecutionState.QUEUED, *ACTIVE)))
        .exists()
    )
    query = (
        select(
            tenants.c.id,
            tenants.c.name,
            tenants.c.epoch,
            tenants.c.serving_execution,
            placements.c.provider,
            placements.c.engine_identity,
            placements.c.resource_id,
        )
        .join(placements, placements.c.execution_id == tenants.c.serving_execution)
        .where(
            tenants.c.deletion_requested_at.is_(None),
            tenants.c.status != Status.DELETED,
            tenants.c.paused.is_(False),
            placements.c.state.in_((PlacementState.INTENDED, PlacementState.PLACED)),
            ~unfinished,
        )
    )
    async with engine.connect() as connection:
        return [
            Serving(
                tenant=TenantKey(row.id, row.name),
                execution_id=row.serving_execution,
                provider=row.provider,
                engine_identity=row.engine_identity,
                resource_id=row.resource_id,
                epoch=row.epoch,
            )
            for row in await connection.execute(query)
        ]


async def beat(engine: AsyncEngine, name: str, cluster_id: str, detail: Mapping[str, Any]) -> None:
    """Write the heartbeat row of `name` and of its cluster."""
    values = {"cluster_id": cluster_id, "detail": dict(detail), "at": func.clock_timestamp()}
    async with engine.begin() as connection:
        await connection.execute(
            upsert(heartbeats).values(name=name, **values).on_conflict_do_update(index_elements=["name"], set_=values)
        )
        await connection.execute(
            update(clusters).where(clusters.c.id == cluster_id).values(heartbeat_at=func.clock_timestamp())
        )
