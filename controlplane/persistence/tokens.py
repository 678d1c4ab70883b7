"""Bearer tokens: only their hashes are stored."""

import hashlib
import logging
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Row,
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
from controlplane.model.reach import EVERYTHING, Reach
from controlplane.persistence import tables
from controlplane.persistence.database import single
from controlplane.persistence.expressions import ago, from_now
from controlplane.persistence.transaction import Transaction
from controlplane.settings import token_problem

logger = logging.getLogger(__name__)

Role = Literal["admin", "operator", "viewer"]
ADMIN = "admin"
"""The name of the token that `landlord up` keeps in the home, where it is changed."""
RESERVED = frozenset({"landlord", "restate-endpoint", "step-worker", "supervisor", "system", "tenant"})
"""Names in the trail for parts of the control plane: no token may have one."""
USE_SECONDS = 60.0
"""Least time between two writes of a token's last use."""
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""From the smallest to the largest; each role includes those before it."""


@dataclass(frozen=True, slots=True)
class Token:
    """The caller's token. `seconds_left`: time until it expires, at the moment of reading; None: it never expires.
    `reach`: the only tenants that there are for it."""

    id: UUID
    name: str
    role: Role
    seconds_left: float | None = None
    reach: Reach = EVERYTHING

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
    name_prefix: str
    selector: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


def hash_token(token: str) -> str:
    """sha256, hex. Tokens are random and long, so a slow hash would add only latency."""
    return hashlib.sha256(token.encode()).hexdigest()


def stored_hash(hashed: str, reach: Reach) -> str:
    """The hash as it stands in the row. A release that knows no reach looks for the bare hash: it must not find a
    narrowed token, which it would take for one without bounds."""
    return hashed if reach.everything else f"{_NARROWED}{hashed}"


_NARROWED = "narrowed:"


async def find_all(database: AsyncEngine, hashes: Sequence[str]) -> dict[str, Token]:
    """The valid tokens with these hashes, by hash: neither revoked nor expired.

    The index compares hashes, so the timing reveals nothing about the secret."""
    forms = [form for hashed in hashes for form in (hashed, f"{_NARROWED}{hashed}")]
    wanted = func.any(bindparam("hashes", forms, type_=ARRAY(Text)))
    return await _valid(database, tables.tokens.c.hash == wanted)


async def find_by_id(database: AsyncEngine, id: UUID) -> Token | None:
    """The valid token with this id: the present state of one that was found before."""
    return next(iter((await _valid(database, tables.tokens.c.id == id)).values()), None)


async def _valid(database: AsyncEngine, which: ColumnElement[bool]) -> dict[str, Token]:
    left = func.extract("epoch", tables.tokens.c.expires_at - func.clock_timestamp())
    query = select(tables.tokens, left.label("left")).where(
        which,
        tables.tokens.c.revoked_at.is_(None),
        or_(tables.tokens.c.expires_at.is_(None), tables.tokens.c.expires_at > func.clock_timestamp()),
    )
    async with single(database) as connection:
        found = (await connection.execute(query)).all()
    return {row.hash.removeprefix(_NARROWED): token for row in found if (token := _token(row)) is not None}


def _token(row: Row[Any]) -> Token | None:
    """None: another release wrote a reach that this one cannot read, so the token opens nothing here."""
    try:
        reach = Reach.of(row.name_prefix, row.selector)
    except ValueError as error:
        logger.warning("token %r is not accepted: its selector cannot be read: %s", row.name, error)
        return None
    return Token(row.id, row.name, cast(Role, row.role), None if row.left is None else float(row.left), reach)


async def put_admin(tx: Transaction, token: str, *, beside: str | None = None) -> None:
    """Make this the token named `admin`, and the only one of that name. If it replaces another, the audit trail says
    so. `beside`: the word of a home that another home's cluster works beside. Each of them keeps its own token, so this
    one is named `admin@<word>`, unless it is the same.

    A token of another name never becomes the admin's: its holder would silently be an admin. Raises SettingsError if
    the token is too short, or the secret of another token."""
    if wrong := token_problem(token):
        raise SettingsError(f"LANDLORD_ADMIN_TOKEN: {wrong}")
    hashed = hash_token(token)
    name = ADMIN if beside is None else f"{ADMIN}@{beside}"
    columns = tables.tokens.c
    query = select(columns.id, columns.name, columns.role, columns.hash, columns.revoked_at).where(
        or_(columns.name == name, columns.hash.in_([hashed, f"{_NARROWED}{hashed}"]))
    )
    found = (await tx.connection.execute(query.with_for_update())).all()
    if other := next((row for row in found if row.name.partition("@")[0] != ADMIN), None):
        raise SettingsError(
            f"LANDLORD_ADMIN_TOKEN: that is the secret of the token {other.name!r} ({other.role}), which would become "
            "the admin's; give another"
        )
    if any(row.hash == hashed and row.revoked_at is None for row in found):
        return
    before = next((row for row in found if row.name == name), None)
    await tx.connection.execute(delete(tables.tokens).where(or_(columns.name == name, columns.hash == hashed)))
    made = uuid4()
    await tx.connection.execute(insert(tables.tokens).values(id=made, name=name, role="admin", hash=hashed))
    data = {"token_id": str(made), "name": name, "role": "admin"}
    if before is None:
        tx.record(EventType.TOKEN_CREATED, data=data)
    else:
        tx.record(
            EventType.TOKEN_REPLACED, message="the admin token is another", data={**data, "replaced": str(before.id)}
        )


async def create(
    connection: AsyncConnection,
    name: str,
    role: Role,
    *,
    expires_in_seconds: int | None = None,
    reach: Reach = EVERYTHING,
) -> tuple[TokenRecord, str]:
    """A new token and its secret, which is stored nowhere. The name of a revoked or expired token is free again.
    `expires_in_seconds` None: it never expires.

    Raises Refused token_exists."""
    ended = or_(tables.tokens.c.revoked_at.is_not(None), tables.tokens.c.expires_at <= func.clock_timestamp())
    await connection.execute(delete(tables.tokens).where(and_(tables.tokens.c.name == name, ended)))
    secret = f"llt_{secrets.token_urlsafe(32)}"
    expires_at = None if expires_in_seconds is None else from_now(expires_in_seconds)
    values = {
        "id": uuid4(),
        "name": name,
        "role": role,
        "hash": stored_hash(hash_token(secret), reach),
        "name_prefix": reach.prefix,
        "selector": reach.written,
        "expires_at": expires_at,
    }
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


async def used(database: AsyncEngine, ids: Collection[UUID]) -> None:
    """Write that these tokens are in use now. A row that says so since less than a minute stays as it is, whichever
    process wrote it."""
    row = tables.tokens.c
    long_ago = or_(row.last_used_at.is_(None), row.last_used_at < ago(USE_SECONDS))
    statement = update(tables.tokens).where(row.id.in_(ids), long_ago).values(last_used_at=func.clock_timestamp())
    async with single(database) as connection:
        await connection.execute(statement)


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
    tables.tokens.c.name_prefix,
    tables.tokens.c.selector,
    tables.tokens.c.created_at,
    tables.tokens.c.expires_at,
    tables.tokens.c.revoked_at,
    tables.tokens.c.last_used_at,
)


def _record(row: RowMapping) -> TokenRecord:
    return TokenRecord(**row)
