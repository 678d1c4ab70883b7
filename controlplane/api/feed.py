"""Events as they are committed. Each replica has one LISTEN connection, fanned out to its watchers and waiters.

The notification carries nothing: it says that the table has more, and the table is read by id. So a lost notification
costs a moment (there is also a slow poll), never an event.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.api.request_id import log
from controlplane.model import Event
from controlplane.persistence import events
from controlplane.persistence.listen import listen
from controlplane.persistence.transaction import EVENT_CHANNEL

LOOK_SECONDS = 2.0
UNWATCHED_SECONDS = 0.1
"""Without a waiter, events are read this much later and in larger batches, off the path of the next 202."""
PAGE = 500
BACKLOG = 1000
"""A subscriber that is this many events behind is dropped."""


class Subscription:
    """The events of one tenant, or of all, from the moment of subscribing, in order and without a gap.

    A subscriber that falls behind is `dropped`: it has missed events and must resume from the table."""

    def __init__(self, tenant_id: UUID | None) -> None:
        self._tenant_id = tenant_id
        self._events: deque[Event] = deque()
        self._more = asyncio.Event()
        self.dropped = False

    async def next(self, timeout: float) -> Event | None:
        """The next event; None after `timeout` seconds without one, and once dropped."""
        if not self._events and not self.dropped:
            self._more.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._more.wait()
        return self._events.popleft() if self._events else None

    def clear(self) -> None:
        """Forget the received events: the caller reads the rows now."""
        self._events.clear()

    def offer(self, event: Event) -> None:
        if self.dropped or self._tenant_id not in (None, event.tenant_id):
            return
        if len(self._events) >= BACKLOG:
            self.drop()
            return
        self._events.append(event)
        self._more.set()

    def drop(self) -> None:
        self.dropped = True
        self._events.clear()
        self._more.set()


class EventFeed:
    """Reads the trail from its end at the start of the feed, for ever, and hands out each event once, in order.

    Holds one connection to the database for good, to listen, and uses another for moments, to read. `on_event` sees
    every event before the subscribers do."""

    def __init__(self, database: AsyncEngine, *, on_event: Callable[[Event], None]) -> None:
        self._database = database
        self._on_event = on_event
        self._subscriptions: set[Subscription] = set()
        self._position: int | None = None
        self._more = asyncio.Event()
        self._begun = asyncio.Event()

    @contextmanager
    def subscribe(self, tenant_id: UUID | None = None) -> Iterator[Subscription]:
        subscription = Subscription(tenant_id)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    @property
    def position(self) -> int:
        """The id of the last event that was handed out; 0 before the feed has begun."""
        return self._position or 0

    async def begun(self, timeout: float) -> bool:
        """True: from now on every event is handed out. False: the feed has not begun in this time (no database)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._begun.wait()
        return self._begun.is_set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The feed runs as long as the block. At its end every subscription is dropped."""
        tasks = (
            asyncio.create_task(listen(self._database, EVENT_CHANNEL, lambda _: self._more.set(), self._more.set)),
            asyncio.create_task(self._run()),
        )
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for subscription in tuple(self._subscriptions):
                subscription.drop()

    async def _run(self) -> None:
        while True:
            self._more.clear()
            try:
                await self._read()
            except Exception as error:
                log.warning("the event feed cannot read (%s); it tries again", type(error).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._more.wait()
            if not self._subscriptions:
                await asyncio.sleep(UNWATCHED_SECONDS)

    async def _read(self) -> None:
        if self._position is None:
            self._position = await events.newest(self._database)
            self._begun.set()
        while True:
            found = await events.news(self._database, self._position, limit=PAGE)
            for event in found:
                self._hand_out(event)
            if len(found) < PAGE:
                return

    def _hand_out(self, event: Event) -> None:
        self._on_event(event)
        for subscription in tuple(self._subscriptions):
            subscription.offer(event)
        self._position = event.id
