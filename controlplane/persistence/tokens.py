"""Bearer tokens: only their hashes are stored."""

import hashlib
from dataclasses import dataclass
from typing import Literal, cast
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.persistence.tables import tokens

Role = Literal["admin", "operator", "viewer"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""From the smallest to the largest; each may do what the ones before it may."""


@dataclass(frozen=True, slots=True)
class Token:
    id: UUID
    name: str
    role: Role

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


def hash_token(token: str) -> str:
    """sha256, hex. Tokens are random and long, so a slow hash would add nothing but latency."""
    return hashlib.sha256(token.encode()).hexdigest()


async def find(engine: AsyncEngine, token: str) -> Token | None:
    """The valid token with this secret: neither revoked nor expired.

    The comparison is of hashes, by the index: its timing tells nothing of the secret."""
    query = select(tokens.c.id, tokens.c.name, tokens.c.role).where(
        tokens.c.hash == hash_token(token),
        tokens.c.revoked_at.is_(None),
        or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > func.clock_timestamp()),
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).first()
    return Token(row.id, row.name, cast(Role, row.role)) if row else None


async def put_admin(connection: AsyncConnection, token: str) -> None:
    """The token named `admin` is this one, from now on only this one."""
    hashed = hash_token(token)
    current = (await connection.execute(select(tokens.c.hash).where(tokens.c.name == "admin"))).scalar_one_or_none()
    if current == hashed:
        return
    await connection.execute(delete(tokens).where(or_(tokens.c.name == "admin", tokens.c.hash == hashed)))
    await connection.execute(insert(tokens).values(id=uuid4(), name="admin", role="admin", hash=hashed))
