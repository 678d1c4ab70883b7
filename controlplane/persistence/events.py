"""Reading the audit trail. The order of ids is the order of commits (see `transaction`), so a reader by id misses
nothing and sees nothing twice.

`prune` removes old events and remembers how far it went. A reader that wants to continue from before that gets an
error. The order of ids is that of commits; the order of `at` is that of a clock, which may have stepped. So neither
alone says what is old.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, case, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.model import Event
from controlplane.model.reach import EVERYTHING, Reach
from controlplane.persistence import chain, pages, rows, tables
from controlplane.persistence.database import single
from controlplane.persistence.expressions import ago
from controlplane.persistence.lookups import Lookup
from controlplane.persistence.pages import Page
from controlplane.persistence.reached import of_reached

PRUNED = "events-pruned"
"""The row of `heartbeats` that records how far the trail was pruned."""

RETENTION_LOCK = 0x1A4D10D7
"""One process at a time removes old events; a second one has nothing to do."""
BATCH = 5_000
"""Events of one transaction."""
AT_ONCE = 20 * BATCH
"""Events of one call; the next call continues."""


@dataclass(frozen=True, slots=True)
class Extent:
    """`newest`: the id of the last event, 0 for none yet. `pruned`: events up to this id may be gone, 0 for none."""

    newest: int
    pruned: int


async def page(
    database: AsyncEngine,
    *,
    reach: Reach = EVERYTHING,
    tenant_id: UUID | None = None,
    before: int | None = None,
    limit: int,
) -> list[Event]:
    """Events before the id `before` (keyset), newest first; of one tenant, or of all within reach. An event of no
    tenant is within no narrowed reach."""
    query = _of(tenant_id).where(of_reached(reach)).order_by(tables.events.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(tables.events.c.id < before)
    async with single(database) as connection:
        return [rows.event(row) for row in (await connection.execute(query)).mappings()]


async def bounded_page(
    database: AsyncEngine, *, reach: Reach, tenant_id: UUID | None, before: int | None, limit: int
) -> Page[Event]:
    """As `page`, and no more bytes than fit a page."""
    trail = tables.events.c
    keys = _of(tenant_id, select(trail.id, pages.size(trail.data))).where(of_reached(reach))
    if before is not None:
        keys = keys.where(trail.id < before)
    chosen = pages.chosen(keys.order_by(trail.id.desc()), "id", limit, newest_first=True)
    query = select(tables.events, chosen.c.upto, chosen.c.more).join(chosen, chosen.c.id == trail.id)
    async with single(database) as connection:
        found = (await connection.execute(query.order_by(trail.id.desc()))).mappings().all()
    return pages.page_of(found, lambda row: rows.event({column.name: row[column.name] for column in trail}))


async def after(
    connection: AsyncConnection, id: int, *, reach: Reach = EVERYTHING, tenant_id: UUID | None = None, limit: int
) -> list[Event]:
    """Events after the id `id`, oldest first. This is for the feed and for watches, of which many may read the whole
    trail at once: only events of tokens have their `data`."""
    query = (
        _of(tenant_id, select(*_WITHOUT_DATA, _DATA_OF_TOKENS))
        .where(tables.events.c.id > id, of_reached(reach))
        .order_by(tables.events.c.id)
        .limit(limit)
    )
    return [rows.event(row) for row in (await connection.execute(query)).mappings()]


async def news(database: AsyncEngine, id: int, *, limit: int) -> list[Event]:
    """As `after`, of all tenants, for the feed: each replica asks it after each change."""
    return [rows.event(row) for row in await _news(limit).all(database, after=id)]


@lru_cache(maxsize=8)
def _news(limit: int) -> Lookup:
    trail = tables.events.c
    query = select(*_WITHOUT_DATA, _DATA_OF_TOKENS).where(trail.id > bindparam("after", type_=trail.id.type))
    return Lookup(query.order_by(trail.id).limit(limit))


async def touched(database: AsyncEngine, after: int, *, limit: int) -> list[tuple[int, UUID | None]]:
    """Id and tenant of the events after that id, oldest first. None: it is of no single tenant."""
    query = select(tables.events.c.id, tables.events.c.tenant_id).where(tables.events.c.id > after)
    async with single(database) as connection:
        found = await connection.execute(query.order_by(tables.events.c.id).limit(limit))
        return [(row.id, row.tenant_id) for row in found]


async def newest(database: AsyncEngine) -> int:
    """Id of the last event; 0: there is none."""
    async with single(database) as connection:
        return (await extent(connection)).newest


async def extent(connection: AsyncConnection) -> Extent:
    pruned = select(tables.heartbeats.c.detail["through"].as_integer()).where(tables.heartbeats.c.name == PRUNED)
    query = select(func.coalesce(func.max(tables.events.c.id), 0), func.coalesce(pruned.scalar_subquery(), 0))
    newest, gone = (await connection.execute(query)).one()
    return Extent(newest=max(newest, gone), pruned=gone)


async def prune(database: AsyncEngine, *, older_than_seconds: float) -> int:
    """Remove events older than that from the low end of the trail, at most AT_ONCE events; return their number.

    An event is removed when it is old and so is every event before it: a clock that was wrong for a moment removes no
    event that is not old. An event from the future stays until its time has come; those behind it are removed. Nothing
    younger goes than LANDLORD_EVENT_RETENTION_DAYS was at the last `landlord up`."""
    removed, past = 0, 0
    while removed < AT_ONCE:
        async with database.begin() as connection:
            batch = await _next_batch(connection, past, older_than_seconds)
        if batch is None:
            break
        removed += batch.removed
        past = batch.through
        if batch.last:
            break
    return removed


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events up to `through` were looked at. `last`: those behind it are young, or there are none."""

    through: int
    removed: int
    last: bool


async def _next_batch(connection: AsyncConnection, past: int, seconds: float) -> _Batch | None:
    """Look at the events after the id `past` and remove the old ones. None: another process is doing it."""
    if not (await connection.execute(select(func.pg_try_advisory_xact_lock(RETENTION_LOCK)))).scalar_one():
        return None
    bound = (await connection.execute(select(tables.installation.c.events_kept_seconds))).scalar() or 0.0
    seconds = max(seconds, bound)
    trail, cutoff = tables.events.c, ago(seconds)
    is_young = trail.at.between(cutoff, func.clock_timestamp())
    first = select(is_young).where(trail.id > past).order_by(trail.id).limit(1)
    if (await connection.execute(first)).scalar() is not False:
        return _Batch(past, 0, last=True)
    batch = select(trail.id, trail.at).where(trail.id > past).order_by(trail.id).limit(BATCH).subquery()
    young = func.min(batch.c.id).filter(batch.c.at.between(cutoff, func.clock_timestamp()))
    found = (await connection.execute(select(func.count(), func.max(batch.c.id), young).select_from(batch))).one()
    size, last, first_young = found
    through = last if first_young is None else first_young - 1
    old = (trail.id > past, trail.id <= through, trail.at < cutoff)
    furthest = (await connection.execute(select(func.max(trail.id)).where(*old))).scalar_one()
    removed = 0
    if furthest is not None:
        await chain.move_anchor(connection, furthest)
        # A function of the owner's: the role that runs may not delete events.
        gone = select(func.landlord_prune_events(past, through, seconds))
        removed = (await connection.execute(gone)).scalar_one()
        await _remember(connection, furthest)
    return _Batch(through, removed, last=first_young is not None or size < BATCH)


async def _remember(connection: AsyncConnection, through: int) -> None:
    """Record how far events may be gone. The mark never moves back."""
    now = func.clock_timestamp()
    furthest = func.greatest(tables.heartbeats.c.detail["through"].as_integer(), through)
    statement = insert(tables.heartbeats).values(name=PRUNED, cluster_id="", detail={"through": through}, at=now)
    values: dict[str, Any] = {"detail": func.jsonb_build_object("through", furthest), "at": now}
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


_WITHOUT_DATA = [column for column in tables.events.c if column.name != "data"]
_DATA_OF_TOKENS = case(
    (tables.events.c.type.startswith("token."), tables.events.c.data), else_=literal({}, JSONB)
).label("data")


def _of(tenant_id: UUID | None, query: Select[Any] | None = None) -> Select[Any]:
    query = select(tables.events) if query is None else query
    return query if tenant_id is None else query.where(tables.events.c.tenant_id == tenant_id)
