"""What goes on for long under a token (a watch, a wait) ends with that token."""

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
"""If the notice of a revocation is lost, what goes on under the token ends after this time."""
_AGAIN_SECONDS = 0.5
_ENDINGS: dict[str, str] = {EventType.TOKEN_REVOKED: "token_id", EventType.TOKEN_REPLACED: "replaced"}
"""Events that end a token, and where their data name it."""


class Grant:
    """A token as it was when something long began, and whether it still is that."""

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
        every SECONDS, and when the token was to expire. For a while, rows that do not answer count as no change.

        Raises what the database raises."""
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
        """Until `holds` is to be asked again."""
        return max(0.0, self._look_at - time.monotonic())

    def end(self) -> None:
        self._ended = True


class Grants:
    """Those of one replica. `forget` is called with the id of a token that was found to have changed, so that the next
    request that brings it looks too."""

    def __init__(self, database: AsyncEngine, forget: Callable[[str], None]) -> None:
        self._database = database
        self._forget = forget
        self._open: dict[UUID, set[Grant]] = {}
        self._asking: dict[UUID, asyncio.Task[Token | None]] = {}

    @contextmanager
    def under(self, token: Token) -> Iterator[Grant]:
        """For as long as the block runs."""
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
        replica, what goes on under that token ends."""
        key = _ENDINGS.get(event.type)
        if key is None:
            return
        for id, grants in self._open.items():
            if str(id) == event.data.get(key):
                for grant in grants:
                    grant.end()

    async def _now(self, id: UUID) -> Token | None:
        """What the token has become. Those who ask at the same time share the answer."""
        asking = self._asking.get(id)
        if asking is None:
            asking = self._asking[id] = asyncio.create_task(tokens.find_by_id(self._database, id))
            asking.add_done_callback(lambda _: self._asking.pop(id, None))
        return await asyncio.shield(asking)
