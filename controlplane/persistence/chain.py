"""The trail's chain of hashes. Each event has a hash over itself and the hash of the event before.

If an event was changed, it no longer fits. If its predecessor was removed, or another event was inserted before it, it
no longer fits either. Anyone who may write to the database can rebuild the chain from any event on; only a head that
was noted elsewhere reveals that. Retention removes the oldest events, and keeps the hash of the last of them as an
anchor.

A trigger of the database makes the hashes, in the statement that inserts (migration 0004); this module compares them.
"""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.persistence import tables

ANCHOR = "events-anchor"
"""The row of `heartbeats` with `through`, the last event that is no longer in the chain, and its `hash`."""
PART = 5000
SHOWN = 20

Noted = Literal["kept", "changed", "pruned"]

_LENGTHS = " || ".join(
    f"coalesce(length({one}) || ':' || {one}, '-')"
    for one in (
        "id::text",
        "type",
        "tenant_id::text",
        "tenant_name",
        "generation::text",
        "status",
        "execution_id",
        "trigger_source",
        "actor",
        "token_id::text",
        "request_id",
        "message",
        "data::text",
        "extract(epoch FROM at)::text",
    )
)
_PART = text(f"""
    SELECT count(*) AS number, max(id) AS last, (array_agg(hash ORDER BY id DESC))[1] AS hash,
           (array_agg(id ORDER BY id) FILTER (WHERE hash IS DISTINCT FROM expected))[1:{SHOWN}] AS broken
    FROM (
        SELECT id, hash, encode(sha256(convert_to(
            coalesce(lag(hash, 1, CAST(:before AS text)) OVER (ORDER BY id), '') || {_LENGTHS}, 'UTF8'
        )), 'hex') AS expected
        FROM (SELECT * FROM events WHERE id > :after ORDER BY id LIMIT :part) AS part
    ) AS compared
""")


@dataclass(frozen=True, slots=True)
class Head:
    """An event and its hash. With one that was noted elsewhere, a check can show later whether all events up to it are
    unchanged."""

    id: int
    hash: str


@dataclass(frozen=True, slots=True)
class TrailCheck:
    """`checked`: number of events; `after`: events up to this id are not in the chain (pruned, or older than it);
    `broken`: ids of events that do not fit, the first 20; `head`: the newest; `noted`: the result for the noted one."""

    checked: int
    after: int
    head: Head | None
    broken: tuple[int, ...]
    noted: Noted | None = None


async def verify(database: AsyncEngine, *, newest: int | None = None, noted: Head | None = None) -> TrailCheck:
    """Compare the whole chain, or its `newest` events, at one instant."""
    async with database.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        async with connection.begin():
            return await _verify(connection, newest, noted)


async def move_anchor(connection: AsyncConnection, through: int) -> None:
    """Move the anchor before the events up to this id are removed. An id before the anchor moves nothing."""
    last = select(tables.events.c.id, tables.events.c.hash).where(tables.events.c.id <= through)
    row = (await connection.execute(last.order_by(tables.events.c.id.desc()).limit(1))).first()
    anchor = await _anchor(connection)
    if row is None or row.id <= anchor.id:
        return
    values = {"detail": {"through": row.id, "hash": row.hash or ""}, "at": func.clock_timestamp()}
    statement = insert(tables.heartbeats).values(name=ANCHOR, cluster_id="", **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


async def _verify(connection: AsyncConnection, newest: int | None, noted: Head | None) -> TrailCheck:
    anchor = await _anchor(connection)
    before = anchor if newest is None else await _before(connection, newest, anchor)
    after, checked, broken = before.id, 0, list[int]()
    while True:
        values = {"after": before.id, "before": before.hash, "part": PART}
        row = (await connection.execute(_PART, values)).one()
        checked += row.number
        broken += row.broken or ()
        if row.number:
            before = Head(row.last, row.hash or "")
        if row.number < PART:
            break
    head = before if checked or before.hash else None
    fate = None if noted is None else await _fate(connection, noted, anchor)
    return TrailCheck(checked, after, head, tuple(broken[:SHOWN]), fate)


async def _fate(connection: AsyncConnection, noted: Head, anchor: Head) -> Noted:
    if noted.id == anchor.id:
        return "kept" if noted.hash == anchor.hash else "changed"
    if noted.id < anchor.id:
        return "pruned"
    query = select(tables.events.c.hash).where(tables.events.c.id == noted.id)
    return "kept" if (await connection.execute(query)).scalar() == noted.hash else "changed"


async def _anchor(connection: AsyncConnection) -> Head:
    query = select(tables.heartbeats.c.detail).where(tables.heartbeats.c.name == ANCHOR)
    detail = (await connection.execute(query)).scalar() or {}
    return Head(int(detail.get("through", 0)), str(detail.get("hash", "")))


async def _before(connection: AsyncConnection, newest: int, anchor: Head) -> Head:
    """The event before that many newest ones."""
    query = select(tables.events.c.id, tables.events.c.hash).where(tables.events.c.id > anchor.id)
    row = (await connection.execute(query.order_by(tables.events.c.id.desc()).offset(newest).limit(1))).first()
    return anchor if row is None else Head(row.id, row.hash or "")
