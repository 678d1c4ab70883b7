"""Grants: a long request under a token (a watch, a wait) ends with that token."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import Event, EventType
from controlplane.persistence import tokens
from controlplane.persistence.tokens import Token

SECONDS = 5.0
"""If the notice of a revocation is lost, requests under the token end after this time."""
_AGAIN_SECONDS = 0.5
_ENDINGS: dict[str, str] = {EventType.TOKEN_REVOKED: "token_id", EventType.TOKEN_REPLACED: "replaced"}
"""Events that end a token, and the place of the token in their data."""


class Grant:
    """A token as it was when a long request began, and the check whether it still is."""

    def __init__(
        self, token: Token, find: Callable[[UUID], Awaitable[Token | None]], forget: Callable[[str], None]
    ) -> None:
        self._token = token
        self._find = find
        self._forget = forget
        self._ended = False
        self._look_at = 0.0
        self._trusted_until = time.monotonic() + SECONDS

    async def holds(self) -> bool:
        """False once the token was revoked, has expired, or allows anything else than it did. Asks the rows at most
        every SECONDS, and at the token's expiry. For a while, rows that do not answer count as no change. Raises the
        database's errors."""
        now = time.monotonic()
        if self._ended or now < self._look_at:
            return not self._ended
        try:
            token = await self._find(self._token.id)
        except (DBAPIError, PoolTimeout, OSError):
            if now > self._trusted_until:
                raise
            self._look_at = now + _AGAIN_SECONDS
            return not self._ended
        self._ended = self._ended or token is None or not token.same(self._token)
        if self._ended:
            self._forget(str(self._token.id))
        left = None if token is None else token.seconds_left
        self._look_at = now + (SECONDS if left is None else min(SECONDS, left))
        self._trusted_until = now + (2 * SECONDS if left is None else min(2 * SECONDS, left))
        return not self._ended

    @property
    def seconds(self) -> float:
        """Seconds until `holds` must be asked again."""
        return max(0.0, self._look_at - time.monotonic())

    def end(self) -> None:
        self._ended = True


class Grants:
    """The grants of one replica. `forget` is called with the id of a token that has changed, so that the next request
    with it looks too."""

    def __init__(self, database: AsyncEngine, forget: Callable[[str], None]) -> None:
        self._database = database
        self._forget = forget
        self._open: dict[UUID, set[Grant]] = {}
        self._asking: dict[UUID, asyncio.Task[Token | None]] = {}

    @contextmanager
    def under(self, token: Token) -> Iterator[Grant]:
        """A grant for as long as the block runs."""
        grant = Grant(token, self._now, self._forget)
        self._open.setdefault(token.id, set()).add(grant)
        try:
            yield grant
        finally:
            grants = self._open[token.id]
            grants.discard(grant)
            if not grants:
                del self._open[token.id]

    def hear(self, event: Event) -> None:
        """Called for every event, before any watcher gets it. If it revokes or replaces a token, here or at another
        replica, the long requests under that token end."""
        key = _ENDINGS.get(event.type)
        if key is None:
            return
        for id, grants in self._open.items():
            if str(id) == event.data.get(key):
                for grant in grants:
                    grant.end()

    async def _now(self, id: UUID) -> Token | None:
        """The token's present state. Callers that ask at the same time share the answer."""
        asking = self._asking.get(id)
        if asking is None:
            asking = self._asking[id] = asyncio.create_task(tokens.find_by_id(self._database, id))
            asking.add_done_callback(lambda _: self._asking.pop(id, None))
        return await asyncio.shield(asking)
