"""The nodes of the clusters: what their supervisors saw, and the choice of one for an execution.

`nodes` holds one row a name: two clusters that share a machine share its platforms too. For `GET /v1/nodes`, the
supervisor leaves a list with its cluster's row at each sweep.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, and_, bindparam, case, false, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.errors import Refused
from controlplane.lifecycle import placing
from controlplane.model import LIVE, Action, ClusterState, Node, Tenant, TenantSpec
from controlplane.model import nodes as model_nodes
from controlplane.persistence import rows, tables
from controlplane.persistence.clusters import CLUSTER_SECONDS
from controlplane.persistence.database import single
from controlplane.persistence.expressions import ago, is_one_of
from controlplane.persistence.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Nodes:
    """`found`: a document for each node, from `actors.supervisor.node_list`. `at`: when the supervisor left them, as
    ISO 8601; None: it has not. `draining`: the whole cluster drains."""

    found: Sequence[Mapping[str, Any]]
    at: str | None
    draining: bool


async def nodes(database: AsyncEngine, cluster_id: str) -> Nodes:
    """Of this cluster. A supervisor of a release before leaves no list: then none is found."""
    clusters = tables.clusters.c
    left = (clusters.figures["node_list"].label("found"), clusters.figures["at"].label("at"))
    async with single(database) as connection:
        row = (await connection.execute(select(clusters.state, *left).where(clusters.id == cluster_id))).one_or_none()
    if row is None or row.found is None:
        return Nodes((), None, draining=False)
    return Nodes(row.found, row.at, draining=row.state == ClusterState.DRAINING)


@dataclass(frozen=True, slots=True)
class Seen:
    """A node as Ray and its platforms say now. `platforms`: identity by provider, of those enabled there; None: it has
    not answered, so what it said before stays. `cpus` None: nobody can say."""

    name: str
    address: str
    head: bool
    alive: bool
    labels: Mapping[str, str]
    platforms: Mapping[str, str | None]
    cpus: float | None


async def saw(database: AsyncEngine, cluster_id: str, seen: Collection[Seen]) -> None:
    """Write down the nodes of this cluster. A node is dead once the cluster that saw it last says so, has ended or has
    not swept for `CLUSTER_SECONDS`: this one takes it over then. If nothing has changed, no row is written."""
    table = tables.nodes
    living = [one for one in seen if one.alive]
    async with database.begin() as connection:
        known = {row.name: row for row in await connection.execute(select(table).order_by(table.c.name))}
        for one in sorted(living, key=lambda one: one.name):
            before = known.get(one.name)
            values = {
                "cluster_id": cluster_id,
                "address": one.address,
                "head": one.head,
                "labels": dict(one.labels),
                "platforms": _platforms(one.platforms, before.platforms if before else {}),
                "cpus": one.cpus if one.cpus is not None else before.cpus if before else 1.0,
                "alive": True,
            }
            if before is not None and values.items() <= before._mapping.items():
                continue
            since = {} if before is not None and before.alive else {"since": func.clock_timestamp()}
            await connection.execute(
                upsert(table)
                .values(name=one.name, **values)
                .on_conflict_do_update(index_elements=["name"], set_=values | since)
            )
        names = {one.name for one in living}
        if any(name not in names and (row.alive or row.cluster_id != cluster_id) for name, row in known.items()):
            gone = or_(
                tables.clusters.c.state == ClusterState.ENDED, tables.clusters.c.heartbeat_at < ago(CLUSTER_SECONDS)
            )
            ended = select(tables.clusters.c.id).where(gone, tables.clusters.c.id != cluster_id)
            ours = and_(table.c.alive, table.c.cluster_id == cluster_id)
            died = case((table.c.alive, func.clock_timestamp()), else_=table.c.since)
            await connection.execute(
                update(table)
                .where(table.c.name.not_in(names), or_(ours, table.c.cluster_id.in_(ended)))
                .values(alive=False, since=died, cluster_id=cluster_id)
            )


def _platforms(now: Mapping[str, str | None], before: Mapping[str, str]) -> dict[str, str]:
    found = {name: identity or before.get(name) for name, identity in now.items()}
    return {name: identity for name, identity in found.items() if identity is not None}


async def of_others(database: AsyncEngine, cluster_id: str, living: Collection[str]) -> set[str]:
    """The names of the machines that live in other clusters of this database. `living`: names of our own."""
    async with single(database) as connection:
        return model_nodes.of_others(await known(connection), cluster_id, living)


async def silent_nodes(database: AsyncEngine, grace: float | None) -> dict[str, bool]:
    """The nodes that are dead, and whether each is lost for good: for longer than the grace. None: none is, ever."""
    table = tables.nodes.c
    over = false() if grace is None else table.since < ago(grace)
    query = select(table.name, over.label("over")).where(~table.alive, ~table.head)
    async with single(database) as connection:
        return {row.name: row.over for row in await connection.execute(query)}


_KNOWN = Prepared(select(tables.nodes).order_by(tables.nodes.c.name))
_PLACEMENT = tables.placements.c
_RESOURCE = (
    select(
        _PLACEMENT.node.label("at_node"),
        _PLACEMENT.platform.label("at_platform"),
        _PLACEMENT.platform_identity.label("at_identity"),
    )
    .where(_PLACEMENT.tenant_id == bindparam("tenant"), is_one_of(_PLACEMENT.state, LIVE))
    .order_by(
        func.coalesce(_PLACEMENT.execution_id == bindparam("serving", type_=Text), false()).desc(),
        _PLACEMENT.generation.desc(),
        _PLACEMENT.run.desc(),
    )
    .limit(1)
    .subquery()
)
_KNOWN_AND_WHERE = Prepared(
    select(tables.nodes, _RESOURCE).outerjoin_from(tables.nodes, _RESOURCE, true()).order_by(tables.nodes.c.name)
)


async def known(connection: AsyncConnection) -> list[Node]:
    """All, the dead ones too."""
    return [rows.node(row) for row in await _KNOWN.all(connection)]


async def place(
    connection: AsyncConnection,
    tenant: Tenant,
    action: Action,
    spec: TenantSpec,
    engine: str,
    *,
    first: bool = False,
    in_place: bool = False,
    without: Collection[str] = (),
) -> str | None:
    """The node for an execution of this tenant; see `placing.choose`. A delete, and what is `in_place`, is where the
    resources are. Tenants are counted only if there is a choice. `first`: the tenant is new, and has no resource."""
    there, stays = (await known(connection), None) if first else await _known_and_where(connection, tenant)
    if not there:
        return None
    if action is Action.DELETE or in_place:
        return stays
    key = str(tenant.id)
    chosen = placing.choose(there, spec, engine, key=key, stays=stays, without=without)
    if chosen == stays or sum(node.alive for node in there) < 2:
        return chosen
    counted = await _tenants(connection)
    return placing.choose(there, spec, engine, key=key, stays=stays, without=without, tenants=counted)


async def _known_and_where(connection: AsyncConnection, tenant: Tenant) -> tuple[list[Node], str | None]:
    """All nodes, and the one that has the resource that serves, else the newest one. Platforms tell machines apart,
    whatever their names are now."""
    there = await _KNOWN_AND_WHERE.all(connection, tenant=tenant.id, serving=tenant.serving_execution)
    known = [rows.node(row) for row in there]
    if not there or there[0]["at_platform"] is None:
        return known, None
    at = there[0]
    same = [node for node in known if node.platforms.get(at["at_platform"]) == at["at_identity"]]
    return known, next((node.name for node in same if node.alive), at["at_node"])


async def require(connection: AsyncConnection, spec: TenantSpec, engine: str) -> None:
    """Raises Refused if no node can take a tenant with this placement: validation_failed (400) if there is no such
    node, node_unavailable (409) if there is one."""
    if spec.placement is None:
        return
    found = placing.obstacle(await known(connection), spec, engine)
    if found is None:
        return
    why, wrong = found
    if not wrong:
        raise Refused(why, code="node_unavailable", status=409)
    loc = "spec.placement.node" if spec.placement.node is not None else "spec.placement.labels"
    raise Refused(f"{loc}: {why}", code="validation_failed", status=400, errors=[{"loc": loc, "message": why}])


async def _tenants(connection: AsyncConnection) -> dict[str, int]:
    """How many live tenants each node has, or was chosen for."""
    newest = tables.executions
    query = (
        select(newest.c.node, func.count().label("number"))
        .join(tables.tenants, newest.c.id == tables.tenants.c.newest_execution)
        .where(tables.tenants.c.deleted_at.is_(None), newest.c.node.is_not(None))
        .group_by(newest.c.node)
    )
    return {row.node: row.number for row in await connection.execute(query)}
