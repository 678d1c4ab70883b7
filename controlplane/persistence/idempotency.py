"""Idempotency keys. The key and its answer are written in the transaction of the intent that they answer for.

So a key exists exactly when its intent does. While that transaction is open, an advisory lock on the key shows it to
others without making them wait. (If the hashes of two keys collide, one of them gets `in progress` by mistake.)
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.errors import Refused
from controlplane.persistence import tables
from controlplane.persistence.database import single
from controlplane.persistence.expressions import ago

KEPT_HOURS = 24
BATCH = 5_000
"""Keys that one call removes; the next call continues."""


@dataclass(frozen=True, slots=True)
class KeyScope:
    """The scope of a key. `path` is the request's, without its query."""

    token_id: UUID
    method: str
    path: str
    key: str

    @property
    def lock_id(self) -> int:
        """64 bits of a hash, signed, as Postgres' advisory locks take them."""
        text = "\n".join((str(self.token_id), self.method, self.path, self.key))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer that can be given again. `body` is its text, byte for byte."""

    status: int
    headers: Mapping[str, str]
    body: str
    execution_id: str


async def claim(connection: AsyncConnection, scope: KeyScope, body_hash: str) -> StoredAnswer | None:
    """Take the key for this transaction. Returns the answer if the key has one already. None: do the work, then
    `store`.

    Raises Refused idempotency_in_progress (another transaction has it), idempotency_key_reused (another body)."""
    if not (await connection.execute(select(func.pg_try_advisory_xact_lock(scope.lock_id)))).scalar_one():
        raise in_progress()
    # A new statement, so that it sees the commit of the lock's last holder.
    row = (await connection.execute(select(tables.idempotency_keys).where(_is(scope), ~_expired()))).first()
    if row is None:
        return None
    if row.body_hash != body_hash:
        raise Refused(
            "this Idempotency-Key was used with another request; use a new key",
            code="idempotency_key_reused",
            status=422,
        )
    return StoredAnswer(row.status, row.headers, row.body, row.execution_id)


async def store(connection: AsyncConnection, scope: KeyScope, body_hash: str, answer: StoredAnswer) -> None:
    """Write the answer under a claimed key. An expired answer is overwritten."""
    values = {
        "body_hash": body_hash,
        "status": answer.status,
        "headers": dict(answer.headers),
        # As one JSON string: jsonb would reorder the members, but a replay must be the same answer.
        "body": answer.body,
        "execution_id": answer.execution_id,
        "created_at": func.clock_timestamp(),
    }
    statement = insert(tables.idempotency_keys).values(
        token_id=scope.token_id, method=scope.method, path=scope.path, key=scope.key, **values
    )
    await connection.execute(
        statement.on_conflict_do_update(index_elements=list(tables.idempotency_keys.primary_key), set_=values)
    )


async def count(connection: AsyncConnection, token_id: UUID, *, at_most: int) -> int:
    """The number of a token's keys, expired ones that still lie here too. Counts no further than `at_most`."""
    some = select(tables.idempotency_keys.c.token_id).where(tables.idempotency_keys.c.token_id == token_id)
    query = select(func.count()).select_from(some.limit(at_most).subquery())
    return int((await connection.execute(query)).scalar_one())


async def prune(database: AsyncEngine) -> int:
    """Remove keys older than 24 hours, the oldest first, at most BATCH; return their number. For the supervisor; any
    number may run at once."""
    keys = tables.idempotency_keys
    key = tuple_(*keys.primary_key)
    oldest = select(*keys.primary_key).where(_expired()).order_by(keys.c.created_at).limit(BATCH)
    async with single(database) as connection:
        found = await connection.execute(delete(keys).where(key.in_(oldest.with_for_update(skip_locked=True))))
    return found.rowcount


def in_progress() -> Refused:
    return Refused(
        "a request with this Idempotency-Key is still open; ask again for its answer",
        code="idempotency_in_progress",
        status=409,
        headers={"Retry-After": "1"},
    )


def _is(scope: KeyScope) -> ColumnElement[bool]:
    return and_(
        tables.idempotency_keys.c.token_id == scope.token_id,
        tables.idempotency_keys.c.method == scope.method,
        tables.idempotency_keys.c.path == scope.path,
        tables.idempotency_keys.c.key == scope.key,
    )


def _expired() -> ColumnElement[bool]:
    return tables.idempotency_keys.c.created_at < ago(KEPT_HOURS * 3600)
