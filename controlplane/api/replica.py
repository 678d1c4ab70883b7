"""The state of one replica of the API: database, tokens, feed, slots. The lifespan makes it on the loop that serves."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.api import request_id
from controlplane.api.background import Background
from controlplane.api.concurrency_limit import Turns
from controlplane.api.connections import CONNECTIONS
from controlplane.api.fair_slots import FairSlots
from controlplane.api.feed import EventFeed
from controlplane.api.grants import Grants
from controlplane.api.key_room import KeyRoom
from controlplane.api.last_use import LastUse
from controlplane.api.rate_limit import RateLimit
from controlplane.api.strangers import Strangers
from controlplane.api.token_cache import TokenCache
from controlplane.errors import ProviderNotEnabled
from controlplane.model import Event
from controlplane.persistence import compatibility
from controlplane.persistence.database import Bounds, open_database
from controlplane.persistence.idempotency import KeyScope
from controlplane.persistence.tenants import Views
from controlplane.persistence.tokens import Token
from controlplane.persistence.transaction import Transaction, transaction
from controlplane.ports import ComputeProvider, Machines, TenantDirectory
from controlplane.settings import Settings

MUTATIONS = 6
"""The number of mutations at once. The rest of the pool is for reads, so that reads stay fast while mutations wait."""
OF_ONE_TENANT = 2
"""Of these, one has the row of the tenant, and the other waits for it."""
OF_ONE_TOKEN = MUTATIONS - 1
"""However many requests one token sends, the others have a slot that it cannot take."""
MUTATION_QUEUE = 1000
QUEUED_OF_ONE_TOKEN = MUTATION_QUEUE * 3 // 4
MUTATION_PATIENCE = 0.5
"""The share of a request's time for which it waits its turn. After a longer wait, too little time would be left to do
it."""
ROW_PATIENCE = (3.0, 0.15)
"""For so long at most a request waits for a locked row: seconds, or this share of a request's time if that is more. Its
owner may have been stopped in the middle of a write; meanwhile the request holds a slot."""
WAITERS, WAITERS_OF_ONE_TOKEN = 200, 150
WATCHERS, WATCHERS_OF_ONE_TOKEN = 1000, 600
CATCHING_UP = 3
"""Watches that read stored events at once, each a page. The rest of the pool is for all other requests, even if many
watchers ask for the whole trail."""
_GOODBYE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The arguments of `create_app`."""

    settings: Settings
    database_url: str
    directory: TenantDirectory
    machines: Machines
    compute: Mapping[str, ComputeProvider]
    workflows: Sequence[str]
    cluster_id: str
    in_owner: Collection[str]


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica at work."""

    parts: Parts
    database: AsyncEngine
    views: Views
    tokens: TokenCache
    grants: Grants
    feed: EventFeed
    last_use: LastUse
    rates: RateLimit
    mutations: FairSlots
    """Slots for changes, shared fairly by the tokens."""
    turns: Turns
    """Slots for changes of one tenant."""
    key_room: KeyRoom
    open_keys: set[KeyScope] = field(default_factory=set)
    """Idempotency keys of the requests that have not been answered."""
    background: Background = field(default_factory=Background)
    strangers: Strangers = field(default_factory=Strangers)
    waiters: FairSlots = field(default_factory=lambda: _unqueued(WAITERS, WAITERS_OF_ONE_TOKEN))
    watchers: FairSlots = field(default_factory=lambda: _unqueued(WATCHERS, WATCHERS_OF_ONE_TOKEN))
    catching_up: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CATCHING_UP))

    @property
    def settings(self) -> Settings:
        return self.parts.settings

    @property
    def directory(self) -> TenantDirectory:
        return self.parts.directory

    @property
    def machines(self) -> Machines:
        return self.parts.machines

    @property
    def compute(self) -> Mapping[str, ComputeProvider]:
        return self.parts.compute

    @property
    def workflows(self) -> Sequence[str]:
        return self.parts.workflows

    def may_refuse(self, engine: str) -> bool:
        """False: the engine works in the tenant's own actor, so it takes whatever the rows say."""
        return engine not in self.parts.in_owner

    def compute_provider(self, name: str) -> ComputeProvider:
        """Raises ProviderNotEnabled."""
        try:
            return self.compute[name]
        except KeyError:
            raise _not_enabled("compute", name, sorted(self.compute)) from None

    def require_workflow(self, name: str) -> None:
        """Raises ProviderNotEnabled."""
        if name not in self.workflows:
            raise _not_enabled("workflow", name, sorted(self.workflows))


@asynccontextmanager
async def replica(parts: Parts) -> AsyncIterator[Replica]:
    """A replica for as long as the block runs. At the end it finishes its open commits. Raises SchemaTooNew."""
    least, share = ROW_PATIENCE
    bounds = Bounds(lock=int(1000 * max(least, share * parts.settings.request_timeout_seconds)))
    database = open_database(parts.database_url, pool=CONNECTIONS, application="landlord api", bounds=bounds)
    tokens = TokenCache(database)
    grants = Grants(database, tokens.forget)

    def hear(event: Event) -> None:
        tokens.hear(event)
        grants.hear(event)

    feed = EventFeed(database, on_event=hear)
    patience = parts.settings.request_timeout_seconds * MUTATION_PATIENCE
    mutations = FairSlots(
        MUTATIONS, most=OF_ONE_TOKEN, queue=MUTATION_QUEUE, most_queued=QUEUED_OF_ONE_TOKEN, patience=patience
    )
    # One tenant may have as many in all as all tenants together.
    turns = Turns(OF_ONE_TENANT, queue=MUTATION_QUEUE + MUTATIONS - OF_ONE_TENANT, patience=patience)
    rates = RateLimit(parts.settings.rate_limit_per_minute)
    room = KeyRoom(parts.settings.max_keys_per_token)
    views = Views(database)
    made = Replica(parts, database, views, tokens, grants, feed, LastUse(database), rates, mutations, turns, room)
    try:
        await compatibility.require(database)
        async with feed.running():
            yield made
            await made.background.finish(_GOODBYE_SECONDS)
            await made.last_use.finish()
    finally:
        await views.close()
        await database.dispose()


def by_token(here: Replica, token: Token) -> AbstractAsyncContextManager[Transaction]:
    """A transaction whose events name the caller."""
    return transaction(here.database, actor=token.name, token_id=token.id, request_id=request_id.current())


async def of(request: Request) -> Replica:
    return cast(Replica, request.app.state.replica)


Here = Annotated[Replica, Depends(of)]
"""A route's parameter: the replica that answers."""


def _unqueued(count: int, most: int) -> FairSlots:
    return FairSlots(count, most=most, queue=0, most_queued=0, patience=0)


def _not_enabled(kind: str, name: str, enabled: list[str]) -> ProviderNotEnabled:
    names = ", ".join(enabled) or "none"
    return ProviderNotEnabled(f"{kind} provider {name!r} is not enabled here; enabled: {names}", enabled=enabled)
