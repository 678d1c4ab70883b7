"""A replica of the API under test: the real application and a real database; live actors and compute are fakes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.machines import RayMachines
from controlplane.api.app import create_app
from controlplane.api.replica import Replica
from controlplane.model import ENDED, ExecutionState, Status, TriggerSource
from controlplane.persistence import tables, tokens
from controlplane.persistence.database import open_database
from controlplane.persistence.tenants import lock_by_name
from controlplane.persistence.transaction import Transaction, transaction
from controlplane.ports import ComputeProvider
from controlplane.settings import Settings
from tests.fakes import FakeDirectory, FakeStudio, StubPlatform

CLUSTER = "here"
ADMIN = "an-admin-token-of-the-tests-and-of-nobody"


@dataclass
class Api:
    """One replica and clients to it. The tests also play the tenant's actor, by writing what it would write."""

    app: FastAPI
    database: AsyncEngine
    directory: FakeDirectory
    cloud: StubPlatform
    client: httpx.AsyncClient
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def replica(self) -> Replica:
        replica = self.app.state.replica
        assert isinstance(replica, Replica)
        return replica

    async def bearer(self, role: str) -> dict[str, str]:
        """Headers of a caller with this role."""
        if role not in self.secrets:
            async with transaction(self.database) as tx:
                _, self.secrets[role] = await tokens.create(tx.connection, f"the-{role}", role)
        return {"Authorization": f"Bearer {self.secrets[role]}"}

    async def create(self, name: str = "acme", **values: Any) -> httpx.Response:
        return await self.client.post("/v1/tenants", json=tenant(name, **values))

    async def end(
        self, name: str, state: ExecutionState = ExecutionState.SUCCEEDED, status: Status | None = None
    ) -> None:
        """As the owner of the tenant: its unfinished execution ends, with the status and the event of that."""
        async with transaction(self.database, actor="test/owner") as tx:
            tenant = await lock_by_name(tx, name)
            assert tenant is not None
            status = status or (Status.READY if state is ExecutionState.SUCCEEDED else Status.FAILED)
            succeeded = state is ExecutionState.SUCCEEDED
            now = (await tx.connection.execute(select(func.clock_timestamp()))).scalar_one()
            await tx.connection.execute(
                update(tables.executions)
                .where(tables.executions.c.id == tenant.newest_execution)
                .values(state=state.value, ended_at=now)
            )
            values: dict[str, Any] = {"status": status.value}
            if succeeded:
                values["observed_generation"] = tenant.generation
            if status is Status.DELETED:
                values["deleted_at"] = now
            await tx.connection.execute(update(tables.tenants).where(tables.tenants.c.id == tenant.id).values(**values))
            tx.event(ENDED[state], replace(tenant, status=status))

    async def beat(self, seconds_ago: float = 0, cluster_id: str = CLUSTER) -> None:
        """The heartbeat of a cluster's supervisor."""
        async with self.database.begin() as connection:
            at = func.clock_timestamp() - timedelta(seconds=seconds_ago)
            await connection.execute(delete(tables.clusters).where(tables.clusters.c.id == cluster_id))
            values = {"id": cluster_id, "home": cluster_id, "build": "test", "heartbeat_at": at}
            started_at = func.clock_timestamp() - timedelta(hours=1)
            await connection.execute(insert(tables.clusters).values(**values, started_at=started_at))

    async def woken(self, count: int = 1) -> None:
        """Until so many wake-ups came: their intents are committed then."""

        async def enough() -> bool:
            return len(self.directory.woken) >= count

        await until(enough)

    async def blocked(self) -> None:
        """Until a session of this database waits for a lock."""
        query = (
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
            "WHERE NOT granted AND datname = current_database()"
        )

        async def waits() -> bool:
            async with self.database.connect() as connection:
                return int((await connection.execute(text(query))).scalar_one()) > 0

        await until(waits)

    async def count(self, table: str) -> int:
        async with self.database.connect() as connection:
            return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until it holds; the test's own time limit ends it otherwise."""
    while True:
        if await condition():
            return
        await asyncio.sleep(0.005)


def tenant(name: str = "acme", **values: Any) -> dict[str, Any]:
    """A body for POST. Other values beside the name replace whole members."""
    config = {"image": "web:1", "env": {"COLOR": "blue"}}
    return {"name": name, "spec": {"compute": {"provider": "cloud", "config": config}}, **values}


@asynccontextmanager
async def served(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """The same replica over real HTTP on a free port of loopback."""
    # asyncio turns Nagle's algorithm off only where the protocol is named: else each answer waits for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(api.app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    # Only the main program may take signals.
    server.capture_signals = nullcontext  # type: ignore[method-assign]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, headers=api.client.headers, timeout=30, trust_env=False) as client:
        yield client
    server.should_exit = True
    await serving
    listener.close()


@asynccontextmanager
async def api_on(
    database_url: str,
    *,
    cloud: StubPlatform | None = None,
    more: Mapping[str, ComputeProvider] | None = None,
    in_owner: Collection[str] = (),
    **settings: Any,
) -> AsyncIterator[Api]:
    """A replica on this database, its lifespan running, and an admin's client. `more`: further compute providers.
    `in_owner`: as `create_app` takes it; by default the answer waits for every engine."""
    database = open_database(database_url, pool=5, overflow=20)
    async with database.begin() as connection:
        # Not flushed: each test's own events are the first.
        unheard = Transaction(connection, actor=None, request_id=None, source=TriggerSource.API)
        await tokens.put_admin(unheard, ADMIN)
    directory, cloud = FakeDirectory(), cloud or StubPlatform()
    app = create_app(
        Settings(**settings),
        database_url=database_url,
        directory=directory,
        machines=RayMachines(),
        compute={cloud.name: cloud, "process": FakeStudio(), **(more or {})},
        workflows=["embedded", "restate"],
        cluster_id=CLUSTER,
        in_owner=in_owner,
    )
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://landlord", headers=headers) as client,
    ):
        yield Api(app, database, directory, cloud, client)
    await database.dispose()
