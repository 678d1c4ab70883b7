"""Valid tokens, remembered for a moment so that a hot path does not ask the database each time.

Unknown tokens are remembered too. Tokens that are not known yet are looked up together: for any number of them, from
any number of addresses, there is one short query each 20 ms. So no request from strangers keeps a valid token out.
"""

import asyncio
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import Event, EventType
from controlplane.persistence import tokens
from controlplane.persistence.tokens import Token

SECONDS = 5.0
"""If the notice of a revocation at another replica is lost, the token may be valid here for this time."""
BETWEEN_SECONDS = 0.02
"""Time from one query to the next."""
BATCH = 500
_SIZE = 1024
_UNKNOWN = 10_000


class TokenCache:
    """Tokens by their hash. A token is forgotten when it expires."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._known: dict[str, tuple[Token, float]] = {}
        self._unknown: dict[str, float] = {}
        """The time until which unknown tokens count as unknown."""
        self._asked: dict[str, asyncio.Future[Token | None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._last = 0.0
        self._changes = 0
        """Number of changes of tokens so far. Results read before one of them are answered, but not remembered."""

    async def find(self, secret: str) -> Token | None:
        """The valid token with this secret."""
        hashed = tokens.hash_token(secret)
        now = time.monotonic()
        known = self._known.get(hashed)
        if known is not None and known[1] > now:
            return known[0]
        if self._unknown.get(hashed, 0.0) > now:
            return None
        asked = self._asked.get(hashed)
        if asked is None:
            asked = self._asked[hashed] = asyncio.get_running_loop().create_future()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        # Others may wait for the same token: if one caller leaves, they lose nothing.
        return await asyncio.shield(asked)

    def hear(self, event: Event) -> None:
        """Called for every event. If it revokes or replaces a token, here or at another replica, forget that token at
        once. If it makes a token, that token is no longer unknown."""
        match event.type:
            case EventType.TOKEN_REVOKED:
                self.forget(event.data.get("token_id"))
            case EventType.TOKEN_REPLACED:
                self.forget(event.data.get("replaced"))
            case EventType.TOKEN_CREATED:
                self.forget(None)

    def forget(self, token_id: str | None) -> None:
        """Look up this token and all unknown ones."""
        self._changes += 1
        self._unknown.clear()
        self._known = {hashed: kept for hashed, kept in self._known.items() if str(kept[0].id) != token_id}

    async def _ask(self) -> None:
        """Look up until there is no unknown token."""
        try:
            while self._asked:
                await asyncio.sleep(max(0.0, self._last + BETWEEN_SECONDS - time.monotonic()))
                self._last = time.monotonic()
                batch = dict(list(self._asked.items())[:BATCH])
                changes = self._changes
                try:
                    found = await tokens.find_all(self._database, list(batch))
                except Exception as error:
                    self._fail(batch, error)
                else:
                    self._answer(batch, found, remember=changes == self._changes)
        finally:
            self._asking = None

    def _answer(
        self, batch: dict[str, "asyncio.Future[Token | None]"], found: dict[str, Token], *, remember: bool
    ) -> None:
        now = time.monotonic()
        for hashed, asked in batch.items():
            token = found.get(hashed)
            if remember:
                self._remember(hashed, token, now)
            del self._asked[hashed]
            asked.set_result(token)

    def _remember(self, hashed: str, token: Token | None, now: float) -> None:
        if token is None:
            if len(self._unknown) >= _UNKNOWN:
                self._unknown.clear()
            self._unknown[hashed] = now + SECONDS
            return
        if len(self._known) >= _SIZE:
            self._known.clear()
        left = SECONDS if token.seconds_left is None else min(SECONDS, token.seconds_left)
        self._known[hashed] = (token, now + left)

    def _fail(self, batch: dict[str, "asyncio.Future[Token | None]"], error: Exception) -> None:
        for hashed, asked in batch.items():
            del self._asked[hashed]
            asked.set_exception(error)
            asked.exception()  # Handled even if every caller has left.
