"""Bearer tokens: only their hashes are stored."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.errors import Refused
from controlplane.persistence import tables
from controlplane.persistence.database import single
from controlplane.persistence.expressions import from_now

Role = Literal["admin", "operator", "viewer"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""From the smallest to the largest; each may do what the ones before it may."""


@dataclass(frozen=True, slots=True)
class Token:
    """Who calls. `seconds_left`: until it expires, when it was read; None for never."""

    id: UUID
    name: str
    role: Role
    seconds_left: float | None = None

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is known of a token; its secret is not."""

    id: UUID
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def hash_token(token: str) -> str:
    """sha256, hex. Tokens are random and long, so a slow hash would add nothing but latency."""
    return hashlib.sha256(token.encode()).hexdigest()


async def find(database: AsyncEngine, token: str) -> Token | None:
    """The valid token with this secret: neither revoked nor expired.

    The comparison is of hashes, by the index: its timing tells nothing of the secret."""
    left = func.extract("epoch", tables.tokens.c.expires_at - func.clock_timestamp())
    query = select(tables.tokens.c.id, tables.tokens.c.name, tables.tokens.c.role, left.label("left")).where(
        tables.tokens.c.hash == hash_token(token),
        tables.tokens.c.revoked_at.is_(None),
        or_(tables.tokens.c.expires_at.is_(None), tables.tokens.c.expires_at > func.clock_timestamp()),
    )
    async with single(database) as connection:
        row = (await connection.execute(query)).first()
    return Token(row.id, row.name, cast(Role, row.role), None if row.left is None else float(row.left)) if row else None


async def put_admin(connection: AsyncConnection, token: str) -> None:
    """The token named `admin` is this one, from now on only this one."""
    hashed = hash_token(token)
    current = (
        await connection.execute(select(tables.tokens.c.hash).where(tables.tokens.c.name == "admin"))
    ).scalar_one_or_none()
    if current == hashed:
        return
    await connection.execute(
        delete(tables.tokens).where(or_(tables.tokens.c.name == "admin", tables.tokens.c.hash == hashed))
    )
    await connection.execute(insert(tables.tokens).values(id=uuid4(), name="admin", role="admin", hash=hashed))


async def create(
    connection: AsyncConnection, name: str, role: Role, *, expires_in_seconds: int | None = None
) -> tuple[TokenRecord, str]:
    """A new token and its secret, which is nowhere else. The name of a revoked or expired token is free again.

    Raises Refused token_exists."""
    ended = or_(tables.tokens.c.revoked_at.is_not(None), tables.tokens.c.expires_at <= func.clock_timestamp())
    await connection.execute(delete(tables.tokens).where(and_(tables.tokens.c.name == name, ended)))
    secret = f"llt_{secrets.token_urlsafe(32)}"
    expires_at = None if expires_in_seconds is None else from_now(expires_in_seconds)
    values = {"id": uuid4(), "name": name, "role": role, "hash": hash_token(secret), "expires_at": expires_at}
    try:
        row = (await connection.execute(insert(tables.tokens).values(**values).returning(*_SHOWN))).mappings().one()
    except IntegrityError:
        raise Refused(f"there is a token {name!r} already", code="token_exists", status=409) from None
    return _record(row), secret


async def revoke(connection: AsyncConnection, name: str) -> TokenRecord | None:
    """From now on it opens nothing. None where there is no such token; revoked again, it stays as it was."""
    revoked_at = func.coalesce(tables.tokens.c.revoked_at, func.clock_timestamp())
    query = update(tables.tokens).where(tables.tokens.c.name == name).values(revoked_at=revoked_at).returning(*_SHOWN)
    row = (await connection.execute(query)).mappings().first()
    return _record(row) if row else None


async def page(database: AsyncEngine, *, after: str | None = None, limit: int) -> list[TokenRecord]:
    """In name order, those after the name `after` (keyset)."""
    query = select(*_SHOWN).order_by(tables.tokens.c.name).limit(limit)
    if after is not None:
        query = query.where(tables.tokens.c.name > after)
    async with single(database) as connection:
        return [_record(row) for row in (await connection.execute(query)).mappings()]


_SHOWN = (
    tables.tokens.c.id,
    tables.tokens.c.name,
    tables.tokens.c.role,
    tables.tokens.c.created_at,
    tables.tokens.c.expires_at,
    tables.tokens.c.revoked_at,
)


def _record(row: RowMapping) -> TokenRecord:
    return TokenRecord(**row)
