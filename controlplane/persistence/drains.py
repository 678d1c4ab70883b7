"""Nodes that an operator drains: what they give up, and the tenants that have to go."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, any_, bindparam, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import LIVE, UNFINISHED, Action, EventType, ExecutionState, NodeDrain, TriggerSource
from controlplane.model.tolerance import word
from controlplane.persistence import executions, intents, nodes, tables, tenants
from controlplane.persistence.database import single
from controlplane.persistence.expressions import is_one_of
from controlplane.persistence.resting import Serving
from controlplane.persistence.transaction import transaction


async def drain(
    database: AsyncEngine, node: str, gives_up: NodeDrain | None, *, actor: str, token_id: UUID | None = None
) -> bool:
    """Have a node give up its actors, or its tenants too. None: neither, any more. Draining it twice is success. False:
    there is no such node."""
    async with transaction(database, actor=actor, token_id=token_id) as tx:
        query = select(tables.nodes.c.drain).where(tables.nodes.c.name == node).with_for_update()
        row = (await tx.connection.execute(query)).one_or_none()
        if row is None:
            return False
        if row.drain == gives_up:
            return True
        await tx.connection.execute(update(tables.nodes).where(tables.nodes.c.name == node).values(drain=gives_up))
        if gives_up is None:
            tx.record(EventType.NODE_ACTIVE, message=node)
        else:
            tx.record(EventType.NODE_DRAINING, message=node, data={"gives_up": gives_up.value})
    return True


async def drained(database: AsyncEngine) -> dict[str, NodeDrain]:
    """The nodes that are being drained, and what each gives up."""
    table = tables.nodes.c
    async with single(database) as connection:
        found = await connection.execute(select(table.name, table.drain).where(table.drain.is_not(None)))
        return {row.name: word(NodeDrain, row.drain) for row in found}


async def begun(database: AsyncEngine, names: Collection[str]) -> int:
    """How many tenants are on their way from these nodes: they have a resource there, and
    work elsewhere that is not done."""
    at_work = tables.executions.c
    query = (
        select(at_work.tenant_id)
        .distinct()
        .where(
            is_one_of(at_work.state, UNFINISHED),
            ~_is_on(at_work.node, names),
            at_work.tenant_id.in_(
                select(tables.placements.c.tenant_id).where(
                    _is_on(tables.placements.c.node, names), is_one_of(tables.placements.c.state, LIVE)
                )
            ),
        )
    )
    async with single(database) as connection:
        return len((await connection.execute(query)).all())


async def config_of(database: AsyncEngine, execution_id: str) -> dict[str, Any]:
    """The config of the compute in the execution's snapshot."""
    async with single(database) as connection:
        query = select(tables.executions.c.spec["compute"]["config"]).where(tables.executions.c.id == execution_id)
        return dict((await connection.execute(query)).scalar_one())


async def move(database: AsyncEngine, serving: Serving, *, actor: str, default_workflow: str) -> bool:
    """Have a tenant at rest made again on another node. False: it is no longer at rest, or no other node takes it."""
    async with transaction(database, actor=actor, source=TriggerSource.SUPERVISOR) as tx:
        tenant = await tenants.lock(tx, serving.tenant.id)
        if tenant is None or tenant.serving_execution != serving.execution_id or tenant.epoch != serving.epoch:
            return False
        if tenant.deletion_requested_at is not None or tenant.paused or tenant.pause:
            return False
        execution = await executions.lock(tx.connection, serving.execution_id)
        assert execution is not None, "tenants.serving_execution always names a row"
        engine = intents.workflow_of(execution.spec, default_workflow)
        node = await nodes.place(tx.connection, tenant, Action.UPDATE, execution.spec, engine)
        if node is None or node == serving.node:
            return False
        await intents.move(tx, tenant, execution, default_workflow=default_workflow)
    return True


async def place_again(database: AsyncEngine, names: Collection[str], *, actor: str) -> int:
    """Choose another node for what is queued on one of these and can be made elsewhere. How many were."""
    queued = tables.executions.c
    query = select(queued.id).where(
        queued.state == ExecutionState.QUEUED,
        queued.action != Action.DELETE,
        ~queued.in_place,
        _is_on(queued.node, names),
    )
    async with single(database) as connection:
        found = list((await connection.execute(query)).scalars())
    return sum([await _placed_again(database, id, names, actor) for id in found])


async def _placed_again(database: AsyncEngine, execution_id: str, names: Collection[str], actor: str) -> bool:
    async with transaction(database, actor=actor, source=TriggerSource.SUPERVISOR) as tx:
        tenant = await tenants.lock_of_execution(tx, execution_id)
        execution = await executions.lock(tx.connection, execution_id)
        if tenant is None or execution is None or execution.state is not ExecutionState.QUEUED:
            return False
        node = await nodes.place(tx.connection, tenant, execution.action, execution.spec, execution.engine)
        if node is None or node in names:
            return False
        await executions.save(tx.connection, execution, node=node)
        tx.wake(tenant.id, tenant.name)
    return True


def _is_on(node: ColumnElement[str | None], names: Collection[str]) -> ColumnElement[bool]:
    return node == any_(bindparam("names", list(names), type_=ARRAY(Text)))
