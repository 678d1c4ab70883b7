"""Tenants at rest: the resource that serves each one, and the drift of a platform's list from it."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, and_, any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as SqlUuid
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import LIVE, Endpoint, HealthSpec, Status, TenantSpec
from controlplane.persistence import rows, tables
from controlplane.persistence.expressions import is_away, is_one_of
from controlplane.persistence.fleet import TenantKey, unfinished
from controlplane.persistence.lookups import Lookup
from controlplane.persistence.paused import is_paused
from controlplane.ports import Resource, ResourceState

_ANY = {"provider": "any"}
"""In place of the part of a spec that was not read."""
PAGE = 2_000
"""Tenants of one statement: in between, the caller's loop has its turn."""
_FIRST = UUID(int=0)


class Drift(StrEnum):
    """The drift of the resource that serves a tenant at rest."""

    GONE = "gone"
    STOPPED = "stopped"
    CHANGED = "changed"
    """It exists, with the labels of another spec."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A resting tenant, and the execution that serves it."""

    tenant: TenantKey
    execution_id: str
    platform: str
    platform_identity: str
    endpoints: tuple[Endpoint, ...]
    """As the row holds them."""
    resource_id: str | None
    spec_hash: str
    epoch: int
    health: HealthSpec
    degraded: bool
    node: str | None = None

    def resource_among(self, listed: Mapping[str, Sequence[Resource]]) -> Resource | None:
        """The serving resource among the listed ones: the one that the row names, else any of its execution."""
        candidates = listed.get(self.execution_id, ())
        return next((r for r in candidates if r.id == self.resource_id), candidates[0] if candidates else None)

    def drift(self, resource: Resource | None) -> Drift | None:
        """The drift of that resource from its wanted state."""
        if resource is None:
            return Drift.GONE
        if resource.origin.spec_hash != self.spec_hash:
            return Drift.CHANGED
        return Drift.STOPPED if resource.state is ResourceState.STOPPED else None


def by_execution(listed: Iterable[Resource]) -> Mapping[str, Sequence[Resource]]:
    """Groups resources by execution. If an execution has more than one, somebody copied a resource with our labels."""
    found = defaultdict[str, list[Resource]](list)
    for resource in listed:
        found[resource.origin.execution_id].append(resource)
    return found


def _away() -> ColumnElement[bool]:
    """Its owner left because its turns fail, and comes back by the clock: no finding brings it back earlier."""
    return and_(tables.tenants.c.departures > 0, is_away())


async def resting(database: AsyncEngine, *providers: str) -> list[Serving]:
    """Tenants with a serving execution, nothing queued or active, not paused, and no deletion asked for: those that
    these providers serve, or all. Without those whose health only a newer release can read, and those whose owner left
    because its turns fail, until it is due again.

    It is read page by page, so each tenant is seen at a moment of its own."""
    found: list[Serving] = []
    after = _FIRST
    while True:
        page = await _PAGE.all(database, after=after)
        found += _servings(row for row in page if not providers or row["platform"] in providers)
        if len(page) < PAGE:
            return found
        after = page[-1]["id"]


async def resting_among(database: AsyncEngine, tenant_ids: Collection[UUID]) -> list[Serving]:
    """The same of these tenants only."""
    return _servings(await _AMONG.all(database, ids=list(tenant_ids))) if tenant_ids else []


async def resting_on(database: AsyncEngine, nodes: Collection[str]) -> list[Serving]:
    """The same of the tenants that one of these machines serves."""
    return _servings(await _ON.all(database, nodes=list(nodes))) if nodes else []


def _tenants() -> Select[Any]:
    """Those that are at rest, if something serves them."""
    return select(
        tables.tenants.c.id,
        tables.tenants.c.name,
        tables.tenants.c.epoch,
        tables.tenants.c.status,
        tables.tenants.c.serving_execution,
        tables.tenants.c.observed["endpoints"].astext.label("endpoints"),
    ).where(
        tables.tenants.c.serving_execution.is_not(None),
        tables.tenants.c.deletion_requested_at.is_(None),
        tables.tenants.c.status != Status.DELETED,
        ~is_paused(),
        ~unfinished(),
        ~_away(),
    )


def _served(chosen: Select[Any]) -> Select[Any]:
    """These tenants, in their order, each with what serves it; without a live placement there is nothing that does.
    JSON comes as text: most of it is equal from row to row, and read once.

    The tenants are chosen first. So the rest is looked up for each by its key, however few Postgres thinks they are."""
    tenant = chosen.cte("chosen").prefix_with("MATERIALIZED")
    serving = tables.executions.alias("serving")
    placed = and_(
        tables.placements.c.execution_id == tenant.c.serving_execution,
        is_one_of(tables.placements.c.state, LIVE),
    )
    return (
        select(
            tenant,
            serving.c.spec["health"].astext.label("health"),
            serving.c.spec_hash,
            tables.placements.c.platform.label("platform"),
            tables.placements.c.platform_identity.label("platform_identity"),
            tables.placements.c.resource_id,
            tables.placements.c.node,
        )
        .select_from(
            tenant.outerjoin(tables.placements, placed).outerjoin(
                serving, serving.c.id == tables.placements.c.execution_id
            )
        )
        .order_by(tenant.c.id)
    )


_PAGE = Lookup(
    _served(
        _tenants()
        .where(tables.tenants.c.id > bindparam("after", _FIRST, type_=SqlUuid))
        .order_by(tables.tenants.c.id)
        .limit(PAGE)
    )
)
_AMONG = Lookup(_served(_tenants().where(tables.tenants.c.id == any_(bindparam("ids", [], type_=ARRAY(SqlUuid))))))

_ON = Lookup(
    _served(
        _tenants().where(
            tables.tenants.c.serving_execution.in_(
                select(tables.placements.c.execution_id).where(
                    tables.placements.c.node == any_(bindparam("nodes", [], type_=ARRAY(Text))),
                    is_one_of(tables.placements.c.state, LIVE),
                )
            )
        )
    )
)


def _servings(found: Iterable[Mapping[str, Any]]) -> list[Serving]:
    return [
        Serving(
            tenant=TenantKey(row["id"], row["name"]),
            execution_id=row["serving_execution"],
            platform=row["platform"],
            platform_identity=row["platform_identity"],
            endpoints=_endpoints(row["endpoints"]),
            resource_id=row["resource_id"],
            spec_hash=row["spec_hash"],
            epoch=row["epoch"],
            health=health,
            degraded=row["status"] == Status.DEGRADED,
            node=row["node"],
        )
        for row in found
        if row["platform"] is not None and (health := _health(row["health"])) is not None
    ]


@lru_cache(maxsize=4096)
def _health(stored: str | None) -> HealthSpec | None:
    """None: only a newer release can read it."""
    spec = TenantSpec.stored({"compute": _ANY, "health": None if stored is None else json.loads(stored)})
    return None if spec.unreadable else spec.health


def _endpoints(stored: str | None) -> tuple[Endpoint, ...]:
    return () if stored is None else rows.endpoints(json.loads(stored))
