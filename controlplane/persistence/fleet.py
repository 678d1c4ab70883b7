"""The supervisor's reads for a sweep: the tenants that are due, and the facts about observed resources."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    exists,
    false,
    func,
    or_,
    select,
    text,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as SqlUuid
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.lifecycle.due import LONGEST_WAIT
from controlplane.model import (
    ACTIVE,
    LIVE,
    RELEASED,
    TERMINAL,
    UNFINISHED,
    ExecutionState,
    Status,
    StepState,
    TriggerSource,
)
from controlplane.model.tolerance import word
from controlplane.persistence import expressions, tables
from controlplane.persistence.database import single
from controlplane.persistence.lookups import Lookup
from controlplane.persistence.paused import is_paused

SUPERVISOR = "supervisor"
"""The row of `heartbeats` of the sweeping supervisor."""


@dataclass(frozen=True, slots=True)
class TenantKey:
    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Due:
    """A tenant with work. `retried`: its execution is a later run of its generation, a retry or a heal."""

    key: TenantKey
    retried: bool


def unfinished() -> ColumnElement[bool]:
    """The tenant has a queued or active execution."""
    other = tables.executions.alias("unfinished")
    return exists().where(other.c.tenant_id == tables.tenants.c.id, expressions.is_one_of(other.c.state, UNFINISHED))


def _unserved() -> Select[tuple[str]]:
    """Executions that have a live placement and do not serve. A fleet at rest has almost none."""
    # Both are read from indexes alone, which stand in the same order.
    serving = exists().where(
        tables.tenants.c.serving_execution == tables.placements.c.execution_id,
        tables.tenants.c.serving_execution.is_not(None),
    )
    return select(tables.placements.c.execution_id).where(
        expressions.is_one_of(tables.placements.c.state, LIVE), ~serving
    )


def _is_away() -> ColumnElement[bool]:
    """The execution's resource is on a machine that does not answer: the sweep there removes it, once it is back."""
    node, placement = tables.nodes.c, tables.placements.c
    return exists().where(
        placement.execution_id == tables.executions.c.id, node.name == placement.node, ~node.alive, ~node.head
    )


async def due(database: AsyncEngine, cluster_id: str) -> list[Due]:
    """Tenants with due work, oldest first. A tenant is due in three cases. It has a queued or active execution that
    does not wait for its next attempt. Or an execution has ended without serving and still has a placement, because its
    owner died before the clean-up. Or its last owner left because its turns failed.

    Tenants that another live cluster owns are left out, and those whose owner left for a time that is not over. A
    paused tenant is left out unless work is under way or to be cancelled. Some tenants may have a live owner; a wake-up
    does that owner no harm.
    """
    # Found by index and by placements, so that the query never reads the whole history.
    open_ones = select(tables.executions.c.id).where(expressions.is_one_of(tables.executions.c.state, UNFINISHED))
    failing = select(tables.tenants.c.newest_execution).where(tables.tenants.c.departures > 0)
    candidates = union(open_ones, _unserved(), failing).subquery()
    goes_on = or_(~is_paused(), tables.executions.c.cancel_requested_at.is_not(None))
    waiting = expressions.is_ahead(tables.executions.c.next_attempt_at, LONGEST_WAIT)
    query = (
        select(tables.tenants.c.id, tables.tenants.c.name, func.max(tables.executions.c.run).label("run"))
        .join(tables.executions, tables.executions.c.tenant_id == tables.tenants.c.id)
        .join(candidates, candidates.c.id == tables.executions.c.id)
        .where(
            tables.tenants.c.deleted_at.is_(None),
            ~expressions.is_away(),
            or_(
                and_(tables.executions.c.state == ExecutionState.QUEUED, ~waiting, goes_on),
                tables.executions.c.state.in_(ACTIVE),
                and_(tables.executions.c.state.in_(TERMINAL), ~is_paused(), ~_is_away()),
                and_(tables.tenants.c.departures > 0, ~is_paused()),
            ),
            ~expressions.owned_elsewhere(cluster_id),
        )
        .group_by(tables.tenants.c.id, tables.tenants.c.name)
        .order_by(func.min(tables.executions.c.created_at))
    )
    async with single(database) as connection:
        return [Due(TenantKey(row.id, row.name), row.run > 1) for row in await connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Place:
    """What a tenant wants an actor for. `platform`: its compute provider. `mends`: it is deleted or healed.
    `unfinished`: a client's change is under way or queued. `elsewhere`: another live cluster owns it. `node`: that
    of its unfinished execution, else of what serves; `platform_identity`: of what serves."""

    platform: str
    mends: bool
    unfinished: bool
    elsewhere: bool
    node: str | None = None
    platform_identity: str | None = None
    deleted: bool = False
    """Its deletion was asked for."""
    tenant_id: UUID | None = None


def _places() -> Select[Any]:
    by_supervisor = tables.executions.alias("by_supervisor")
    heals = exists().where(
        by_supervisor.c.tenant_id == tables.tenants.c.id,
        expressions.is_one_of(by_supervisor.c.state, UNFINISHED),
        by_supervisor.c.trigger_source == TriggerSource.SUPERVISOR,
    )
    deleted = tables.tenants.c.deletion_requested_at.is_not(None)
    at_work, placed = tables.executions.alias("at_work"), tables.placements.alias("placed")
    # An active execution comes before a queued one.
    node_of_work = (
        select(at_work.c.node)
        .where(at_work.c.tenant_id == tables.tenants.c.id, expressions.is_one_of(at_work.c.state, UNFINISHED))
        .order_by((at_work.c.state == ExecutionState.QUEUED).asc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(
        tables.tenants.c.id,
        tables.tenants.c.name,
        tables.tenants.c.spec["compute"]["provider"].as_string().label("platform"),
        or_(deleted, heals, tables.tenants.c.status == Status.DEGRADED).label("mends"),
        unfinished().label("unfinished"),
        expressions.owned_elsewhere(bindparam("cluster_id", "", type_=Text)).label("elsewhere"),
        func.coalesce(node_of_work, placed.c.node).label("node"),
        deleted.label("deleted"),
        placed.c.platform_identity.label("identity"),
    )
    return query.outerjoin(placed, placed.c.execution_id == tables.tenants.c.serving_execution).where(
        tables.tenants.c.name == any_(bindparam("names", [], type_=ARRAY(Text))),
        tables.tenants.c.deleted_at.is_(None),
    )


_PLACES = Lookup(_places())
"""Asked two or three times for each actor that is started."""


async def places(database: AsyncEngine, names: Collection[str], cluster_id: str) -> dict[str, Place]:
    """By name, for the tenants among them that are not deleted."""
    if not names:
        return {}
    return {
        row["name"]: Place(
            row["platform"],
            row["mends"],
            row["unfinished"],
            bool(row["elsewhere"]),
            row["node"],
            row["identity"],
            row["deleted"],
            row["id"],
        )
        for row in await _PLACES.all(database, names=list(names), cluster_id=cluster_id)
    }


async def deleted_among(database: AsyncEngine, tenant_ids: Collection[UUID]) -> list[UUID]:
    """The tenants among them that have ended `deleted`: they need no wake-up."""
    # One array for any number of them: a statement has 32,767 parameters at most.
    ids = bindparam("ids", list(tenant_ids), type_=ARRAY(SqlUuid))
    query = select(tables.tenants.c.id).where(
        tables.tenants.c.id == any_(ids), tables.tenants.c.deleted_at.is_not(None)
    )
    async with single(database) as connection:
        return list((await connection.execute(query)).scalars())


async def silent_owners(database: AsyncEngine, cluster_id: str, seconds: float) -> list[str]:
    """Names of this cluster's tenants whose lease expired more than that many seconds ago, or cannot be read off the
    clock, which has stepped back since: an owner that lives renews it within seconds."""
    query = select(tables.tenants.c.name).where(
        tables.tenants.c.deleted_at.is_(None),
        tables.tenants.c.lease_owner.is_not(None),  # those are few, and have an index
        expressions.owned_by(cluster_id),
        ~expressions.is_leased(),
        or_(
            tables.tenants.c.lease_expires_at < expressions.ago(seconds),
            tables.tenants.c.lease_expires_at > func.clock_timestamp(),
        ),
    )
    async with single(database) as connection:
        return list((await connection.execute(query)).scalars())


_ALLOWED_CONNECTIONS = text("""
    SELECT least(
        current_setting('max_connections')::int
            - CASE WHEN rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int END,
        nullif(rolconnlimit, -1),
        nullif(datconnlimit, -1)
    )
    FROM pg_roles, pg_database
    WHERE rolname = session_user AND datname = current_database()
""")


async def max_connections(database: AsyncEngine) -> int:
    """The number of connections that the server, the database and our role allow; the least of them."""
    async with single(database) as connection:
        return int((await connection.execute(_ALLOWED_CONNECTIONS)).scalar_one())


@dataclass(frozen=True, slots=True)
class ExecutionFact:
    """The facts in the rows about the execution that a resource names."""

    tenant: TenantKey
    state: ExecutionState
    serving: bool
    tenant_deleted: bool
    busy: bool
    """Its tenant has a queued or active execution, which may be about to remove the resource."""
    paused: bool
    """Its tenant is paused, or everything is: nothing acts."""
    drains: bool = False
    """It served before the execution that serves now, and runs on for a while."""

    @property
    def leftover(self) -> bool:
        """The resource should not exist. This fact is stable: stopping never goes back, nor does the switch.

        A replaced resource of an execution that succeeded no longer serves either. The delete and retire steps remove
        it, and this rule if they could not."""
        if self.tenant_deleted:
            return True
        return not self.serving and self.state in RELEASED and not self.drains

    @property
    def sweepable(self) -> bool:
        """A leftover of a tenant that is not paused: the sweep removes it."""
        return self.leftover and not self.paused


async def facts(database: AsyncEngine, execution_ids: Collection[str]) -> Mapping[str, ExecutionFact]:
    """The facts by execution id. An execution that no row knows is absent."""
    serving = tables.executions.alias("serving")
    query = (
        select(
            tables.executions.c.id,
            tables.executions.c.state,
            func.coalesce(serving.c.drains_until > func.clock_timestamp(), false()).label("drains"),
            tables.tenants.c.id.label("tenant_id"),
            tables.tenants.c.name,
            tables.tenants.c.serving_execution,
            tables.tenants.c.deleted_at,
            unfinished().label("busy"),
            is_paused().label("is_paused"),
        )
        .join(tables.tenants, tables.tenants.c.id == tables.executions.c.tenant_id)
        .outerjoin(serving, serving.c.id == tables.tenants.c.serving_execution)
        .where(tables.executions.c.id == any_(bindparam("ids", list(execution_ids), type_=ARRAY(Text))))
    )
    async with single(database) as connection:
        return {
            row.id: ExecutionFact(
                tenant=TenantKey(row.tenant_id, row.name),
                state=word(ExecutionState, row.state),
                serving=row.serving_execution == row.id,
                tenant_deleted=row.deleted_at is not None,
                busy=row.busy,
                paused=row.is_paused,
                drains=row.drains and word(ExecutionState, row.state) is ExecutionState.SUCCEEDED,
            )
            for row in await connection.execute(query)
        }


@dataclass(frozen=True, slots=True)
class TenantFact:
    """The facts in the rows about a live tenant. `waiting`: its work is not due yet, or it is paused; `leased`: an
    owner holds a lease that has not expired; `failing_at`: where the turns of its owners fail."""

    key: TenantKey
    status: Status
    unfinished: bool
    waiting: bool
    leased: bool
    serving: bool
    failing_at: str | None = None


async def tenant_facts(database: AsyncEngine) -> list[TenantFact]:
    """The facts of all tenants that are not deleted."""
    later = tables.executions.alias("later")
    waiting = exists().where(
        later.c.tenant_id == tables.tenants.c.id,
        later.c.state == ExecutionState.QUEUED,
        expressions.is_ahead(later.c.next_attempt_at, LONGEST_WAIT),
    )
    query = select(
        tables.tenants.c.id,
        tables.tenants.c.name,
        tables.tenants.c.status,
        unfinished().label("unfinished"),
        or_(waiting, is_paused(), expressions.is_away()).label("waiting"),
        expressions.is_leased().label("leased"),
        tables.tenants.c.serving_execution.is_not(None).label("serving"),
        tables.tenants.c.failing_at,
    ).where(tables.tenants.c.deleted_at.is_(None))
    async with single(database) as connection:
        return [
            TenantFact(
                key=TenantKey(row.id, row.name),
                status=word(Status, row.status),
                unfinished=row.unfinished,
                waiting=row.waiting,
                leased=row.leased,
                serving=row.serving,
                failing_at=row.failing_at,
            )
            for row in await connection.execute(query)
        ]


async def beat(database: AsyncEngine, cluster_id: str, detail: Mapping[str, Any]) -> None:
    """Write the heartbeat row of the supervisor and of its cluster."""
    values = {"cluster_id": cluster_id, "detail": dict(detail), "at": func.clock_timestamp()}
    async with database.begin() as connection:
        await connection.execute(
            upsert(tables.heartbeats)
            .values(name=SUPERVISOR, **values)
            .on_conflict_do_update(index_elements=["name"], set_=values)
        )
        await connection.execute(
            update(tables.clusters)
            .where(tables.clusters.c.id == cluster_id)
            .values(heartbeat_at=func.clock_timestamp())
        )


@dataclass(frozen=True, slots=True)
class StepInCall:
    """A running attempt at a step, and the platforms whose answer it waits for, since it began."""

    tenant: str
    execution_id: str
    step: str
    platforms: str
    since: datetime

    @property
    def call(self) -> str:
        return f"a call to {self.platforms} since {self.since:%Y-%m-%dT%H:%M:%SZ}"


async def steps_in_call(database: AsyncEngine, seconds: float) -> list[StepInCall]:
    """Of active executions, those that have waited for so long, the longest first."""
    executions, steps = tables.executions.c, tables.steps.c
    query = (
        select(
            tables.tenants.c.name, steps.execution_id, steps.name.label("step"), steps.in_call_to, steps.in_call_since
        )
        .join(tables.executions, executions.id == steps.execution_id)
        .join(tables.tenants, tables.tenants.c.id == executions.tenant_id)
        .where(
            expressions.is_one_of(executions.state, ACTIVE),
            steps.state == StepState.RUNNING,
            steps.in_call_since < expressions.ago(seconds),
        )
        .order_by(steps.in_call_since)
    )
    async with single(database) as connection:
        return [StepInCall(*row) for row in await connection.execute(query)]
