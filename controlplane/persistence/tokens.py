"""Bearer tokens: only their hashes are stored."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, cast
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    RowMapping,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.errors import Refused, SettingsError
from controlplane.model import EventType
from controlplane.persistence import tables
from controlplane.persistence.database import single
from controlplane.persistence.expressions import from_now
from controlplane.persistence.transaction import Transaction
from controlplane.settings import token_problem

Role = Literal["admin", "operator", "viewer"]
ADMIN = "admin"
"""The name of the token that `landlord up` keeps in the home, where it is changed."""
RESERVED = frozenset({"landlord", "restate-endpoint", "step-worker", "supervisor", "system", "tenant"})
"""Names in the trail for parts of the control plane: no token may have one."""
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""From the smallest to the largest; each role includes those before it."""


@dataclass(frozen=True, slots=True)
class Token:
    """The caller's token. `seconds_left`: time until it expires, at the moment of reading; None: it never expires."""

    id: UUID
    name: str
    role: Role
    seconds_left: float | None = None

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)

    def same(self, other: "Token") -> bool:
        """True if it is that token and allows the same. Its remaining time does not count."""
        return replace(self, seconds_left=None) == replace(other, seconds_left=None)


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """The record of a token, without its secret."""

    id: UUID
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def hash_token(token: str) -> str:
    """sha256, hex. Tokens are random and long, so a slow hash would add only latency."""
    return hashlib.sha256(token.encode()).hexdigest()


async def find_all(database: AsyncEngine, hashes: Sequence[str]) -> dict[str, Token]:
    """The valid tokens with these hashes, by hash: neither revoked nor expired.

    The index compares hashes, so the timing reveals nothing about the secret."""
    wanted = func.any(bindparam("hashes", list(hashes), type_=ARRAY(Text)))
    return await _valid(database, tables.tokens.c.hash == wanted)


async def find_by_id(database: AsyncEngine, id: UUID) -> Token | None:
    """The valid token with this id: the present state of one that was found before."""
    return next(iter((await _valid(database, tables.tokens.c.id == id)).values()), None)


async def _valid(database: AsyncEngine, which: ColumnElement[bool]) -> dict[str, Token]:
    left = func.extract("epoch", tables.tokens.c.expires_at - func.clock_timestamp())
    query = select(
        tables.tokens.c.hash, tables.tokens.c.id, tables.tokens.c.name, tables.tokens.c.role, left.label("left")
    ).where(
        which,
        tables.tokens.c.revoked_at.is_(None),
        or_(tables.tokens.c.expires_at.is_(None), tables.tokens.c.expires_at > func.clock_timestamp()),
    )
    async with single(database) as connection:
        found = (await connection.execute(query)).all()
    return {
        row.hash: Token(row.id, row.name, cast(Role, row.role), None if row.left is None else float(row.left))
        for row in found
    }


async def put_admin(tx: Transaction, token: str) -> None:
    """Make this the token named `admin`, and the only one of that name. If it replaces another, the audit trail says
    so.

    A token of another name never becomes the admin's: its holder would silently be an admin. Raises SettingsError if
    the token is too short, or the secret of another token."""
    if wrong := token_problem(token):
        raise SettingsError(f"LANDLORD_ADMIN_TOKEN: {wrong}")
    hashed = hash_token(token)
    query = select(tables.tokens.c.id, tables.tokens.c.name, tables.tokens.c.role, tables.tokens.c.hash).where(
        or_(tables.tokens.c.name == ADMIN, tables.tokens.c.hash == hashed)
    )
    found = (await tx.connection.execute(query.with_for_update())).all()
    if other := next((row for row in found if row.name != ADMIN), None):
        raise SettingsError(
            f"LANDLORD_ADMIN_TOKEN: that is the secret of the token {other.name!r} ({other.role}), which would become "
            "the admin's; give another"
        )
    before = found[0] if found else None
    if before is not None and before.hash == hashed:
        return
    await tx.connection.execute(delete(tables.tokens).where(tables.tokens.c.name == ADMIN))
    made = uuid4()
    await tx.connection.execute(insert(tables.tokens).values(id=made, name=ADMIN, role="admin", hash=hashed))
    data = {"token_id": str(made), "name": ADMIN, "role": "admin"}
    if before is None:
        tx.record(EventType.TOKEN_CREATED, data=data)
    else:
        tx.record(
            EventType.TOKEN_REPLACED, message="the admin token is another", data={**data, "replaced": str(before.id)}
        )


async def create(
    connection: AsyncConnection, name: str, role: Role, *, expires_in_seconds: int | None = None
) -> tuple[TokenRecord, str]:
    """A new token and its secret, which is stored nowhere. The name of a revoked or expired token is free again.

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
    """Revoke the token. None: no such token. Revoking it twice changes nothing."""
    revoked_at = func.coalesce(tables.tokens.c.revoked_at, func.clock_timestamp())
    query = update(tables.tokens).where(tables.tokens.c.name == name).values(revoked_at=revoked_at).returning(*_SHOWN)
    row = (await connection.execute(query)).mappings().first()
    return _record(row) if row else None


async def page(database: AsyncEngine, *, after: str | None = None, limit: int) -> list[TokenRecord]:
    """Tokens in name order, after the name `after` (keyset)."""
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
