"""Valid tokens, remembered for a moment so that a hot path does not ask the database each time."""

import time

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import Event, EventType
from controlplane.persistence import tokens
from controlplane.persistence.tokens import Token

SECONDS = 5.0
"""A token that another replica revoked may be good here for so long, should its notice be lost."""
_SIZE = 1024


class TokenCache:
    """Only valid tokens are kept, by their hash; one that expires is forgotten when it does."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._known: dict[str, tuple[Token, float]] = {}

    async def find(self, secret: str) -> Token | None:
        """The valid token with this secret."""
        hashed = tokens.hash_token(secret)
        now = time.monotonic()
        known = self._known.get(hashed)
        if known is not None and known[1] > now:
            return known[0]
        self._known.pop(hashed, None)
        token = await tokens.find(self._database, secret)
        if token is not None:
            if len(self._known) >= _SIZE:
                self._known.clear()
            left = SECONDS if token.seconds_left is None else min(SECONDS, token.seconds_left)
            self._known[hashed] = (token, now + left)
        return token

    def hear(self, event: Event) -> None:
        """Of any event: a token that was revoked, here or at another replica, is forgotten at once."""
        if event.type == EventType.TOKEN_REVOKED:
            self.forget(event.data.get("token_id"))

    def forget(self, token_id: str | None) -> None:
        self._known = {hashed: kept for hashed, kept in self._known.items() if str(kept[0].id) != token_id}
