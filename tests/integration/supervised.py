"""A supervisor without Ray, over the tenants' actors that it makes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.naming import NAMESPACE
from actors.runtime import Runtime
from actors.supervisor.actor import Supervisor
from controlplane.model import ExecutionState
from controlplane.persistence import tables
from tests.integration.named_actors import Handle, NamedActors, Tenant

CEILING = 2
SECONDS = 20.0


class Cluster:
    """A supervisor under a ceiling, and the tenants' actors that it makes."""

    def __init__(self, patch: pytest.MonkeyPatch, database: AsyncEngine, ceiling: int = CEILING) -> None:
        self._database = database
        self._patch = patch
        self._named = NamedActors(patch)
        self.most = 0
        """As many lived at once."""
        self.begun: list[tuple[str, Tenant]] = []
        patch.setattr("actors.supervisor.admission.ceiling", lambda *_: ceiling)
        self.asked = 0
        """How often the supervisor has asked for an actor by its name, to create it or to find it."""
        patch.setattr("actors.supervisor.actor.list_named_actors", self._list)
        patch.setattr("actors.supervisor.admission.TenantActor", self)
        patch.setattr("actors.supervisor.actor.listen", self._hear_nothing)
        self._name = ""

    @staticmethod
    async def _hear_nothing(*_: object) -> None:
        """In place of NOTIFY, whose late signals bring tenants in as well."""
        await asyncio.Event().wait()

    def _list(self, all_namespaces: bool) -> list[dict[str, str]]:
        return [{"name": name, "namespace": NAMESPACE} for name in self._named.live]

    def options(self, *, name: str, **_: object) -> "Cluster":
        self._name = name
        return self

    def remote(self, name: str, node: str | None, wanted_by: str | None) -> Handle:
        self.asked += 1
        if self._name not in self._named.live:
            tenant = Tenant(gone=lambda actor=self._name: self._named.live.pop(actor, None))  # type: ignore[misc]
            self._named.live[self._name] = tenant
            self.begun.append((name, tenant))
            self.most = max(self.most, len(self.live))
        return self._named.get(self._name, "landlord")

    @asynccontextmanager
    async def supervised(self, runtime: Runtime) -> AsyncIterator[Supervisor]:
        self._patch.setattr("actors.supervisor.actor.build_runtime", lambda **_: runtime)
        supervisor = self._named.live["supervisor"] = Supervisor.__new__(Supervisor)
        await supervisor.__init__()  # as Ray does
        try:
            yield supervisor
        finally:
            # A task that is answered at this very moment goes on: asyncio.wait_for keeps the answer, not the end.
            while tasks := [task for task in supervisor._tasks if not task.done()]:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks, timeout=1)

    @property
    def live(self) -> list[Tenant]:
        return [actor for actor in self._named.live.values() if isinstance(actor, Tenant)]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.begun]

    async def admitted(self, supervisor: Supervisor, name: str) -> None:
        async with asyncio.timeout(SECONDS):
            while not await supervisor.activate(name):  # noqa: ASYNC110, who is at rest is on its way out
                await asyncio.sleep(0.01)

    async def rest(self, supervisor: Supervisor, name: str) -> None:
        """As its owner: its execution is over, and there is nothing more to do. That takes longer than the supervisor
        has a wake-up for it in hand: one that it served after the rest would bring the tenant in again, for nothing."""
        await until(lambda: not supervisor._waker.busy and not _finding(supervisor))
        async with self._database.begin() as connection:
            await connection.execute(
                update(tables.executions)
                .where(tables.executions.c.tenant_name == name)
                .values(state=ExecutionState.FAILED)
            )
        dict(self.begun)[name].rest()


def _finding(supervisor: Supervisor) -> bool:
    """Who is due is being looked for, because somebody left."""
    return any(task.get_name() == "there is room" for task in supervisor._tasks)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110, the supervisor's own tasks bring it about
            await asyncio.sleep(0.01)
