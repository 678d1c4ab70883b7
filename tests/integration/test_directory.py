"""Waking by name: actors that leave or have died are activated anew, a bounded number of times."""

from uuid import uuid4

import pytest

from actors.directory import ACTIVATIONS, RayDirectory
from actors.tenant.actor import LEAVING
from controlplane.ports import Wake
from tests.integration.named_actors import NamedActors, Tenant

GOING = (LEAVING, "dead")


class Supervisor:
    """Brings the tenants' actors in this order; then it admits nobody."""

    def __init__(self, actors: NamedActors) -> None:
        self._actors = actors
        self.brings: list[str | None] = []
        self.brought: list[Tenant] = []

    async def activate(self, name: str) -> bool:
        if not self.brings:
            return False
        tenant = Tenant(self.brings.pop(0), lambda: self._actors.live.pop(f"tenant:{name}"))
        self._actors.live[f"tenant:{name}"] = tenant
        self.brought.append(tenant)
        return True


@pytest.fixture
def actors(monkeypatch: pytest.MonkeyPatch) -> NamedActors:
    return NamedActors(monkeypatch)


@pytest.fixture
def supervisor(actors: NamedActors) -> Supervisor:
    there = actors.live["supervisor"] = Supervisor(actors)
    return there


async def wake() -> Wake:
    return await RayDirectory().wake("acme", uuid4(), "an execution", timeout=30)


@pytest.mark.parametrize("how", GOING)
async def test_one_that_goes_is_followed_by_another(supervisor: Supervisor, how: str) -> None:
    supervisor.brings = [how, how, None]
    assert await wake() == Wake("started")
    assert [tenant.woken for tenant in supervisor.brought] == [1, 1, 1]


@pytest.mark.parametrize("how", GOING)
async def test_so_often_and_no_further(supervisor: Supervisor, how: str) -> None:
    supervisor.brings = [how] * 10
    assert await wake() == Wake("pending", "the tenant's actor keeps leaving")
    assert len(supervisor.brought) == ACTIVATIONS


async def test_a_handle_of_one_that_has_died_is_dropped(supervisor: Supervisor) -> None:
    directory = RayDirectory()
    supervisor.brings = [None, None]
    assert (await directory.wake("acme", uuid4())).outcome == "started"
    supervisor.brought[0].__init__("dead", lambda: None)  # type: ignore[misc]
    del supervisor._actors.live["tenant:acme"]
    assert (await directory.wake("acme", uuid4())).outcome == "started"
    assert (await directory.wake("acme", uuid4())).outcome == "started"
    assert [tenant.woken for tenant in supervisor.brought] == [1, 2]


async def test_where_nobody_is_admitted_it_waits_for_the_supervisor(
    supervisor: Supervisor, actors: NamedActors
) -> None:
    assert (await wake()).message == "the supervisor admits no more tenants at the moment"
    actors.live.clear()
    assert (await wake()).outcome == "pending", "there is no supervisor"
