"""Logs and commands of a tenant on another machine: an actor of ours there does what the replica asks."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from ray.exceptions import ActorDiedError
from sqlalchemy import text

from actors import machines
from controlplane.errors import Unavailable
from controlplane.persistence import nodes
from controlplane.persistence.nodes import Seen
from controlplane.ports import ComputeProvider, LogPart, Origin, Ran, Resource, ResourceState
from tests.fakes import FakeStudio
from tests.integration.api_replica import Api, api_on
from tests.integration.named_actors import NamedActors

HERE, THERE = "engine-here", "engine-there"


class Engine(FakeStudio):
    """Of one machine. Says which one it is."""

    name: ClassVar[str] = "engine"

    def __init__(self, identity: str) -> None:
        super().__init__()
        self._identity = identity
        self.asked: list[tuple[Any, ...]] = []
        self.away = False

    async def identity(self) -> str:
        return self._identity

    async def inspect(self, resource_id: str) -> Resource | None:
        return Resource(resource_id, "acme", Origin("us", "acme", UUID(int=1), 1, 1, "e", "h"), ResourceState.RUNNING)

    async def logs(self, resource_id: str, tail: int) -> str:
        self.asked.append(("logs", resource_id, tail))
        if self.away:
            raise Unavailable("the engine does not answer")
        return f"a line of {self._identity}"

    async def logs_after(self, resource_id: str, position: str | None, tail: int) -> LogPart:  # type: ignore[override]
        return LogPart(f"from {position} on", "7")

    async def run_command(self, resource_id: str, command: Sequence[str], seconds: float) -> Ran:
        self.asked.append(("run_command", resource_id, tuple(command), seconds))
        return Ran(3, f"said by {self._identity}")


class Outpost:
    """An actor of ours on the other machine."""

    def __init__(self, compute: Mapping[str, ComputeProvider]) -> None:
        self._compute = compute
        self.dead = False

    async def use_compute(self, provider: str, verb: machines.Verb, *arguments: Any) -> Any:
        if self.dead:
            raise ActorDiedError
        return await machines.use(self._compute, provider, verb, *arguments)


@pytest.fixture
def actors(monkeypatch: pytest.MonkeyPatch) -> NamedActors:
    return NamedActors(monkeypatch)


@pytest_asyncio.fixture
async def api(database_url: str, actors: NamedActors) -> AsyncIterator[Api]:
    async with api_on(database_url, more={"engine": Engine(HERE)}) as api:
        yield api


@pytest.fixture
def there(actors: NamedActors) -> Engine:
    """The engine of the other machine, which an outpost reaches."""
    engine = Engine(THERE)
    actors.live["outpost:b"] = Outpost({"engine": engine})
    return engine


async def serving(api: Api, identity: str = THERE, *, head: bool = False) -> None:
    """A tenant that is served from node b, whose engine is this one."""
    common: dict[str, Any] = {"alive": True, "labels": {}, "cpus": 2.0}
    seen = [
        Seen(name="a", address="10.0.0.1", head=not head, platforms={}, **common),
        Seen(name="b", address="10.0.0.2", head=head, platforms={"engine": identity}, **common),
    ]
    await nodes.saw(api.database, "here", seen)
    compute = {"provider": "engine", "config": {"command": ["serve"]}}
    made = await api.client.post("/v1/tenants", json={"name": "acme", "spec": {"compute": compute}})
    assert made.status_code == 202, made.text
    async with api.database.begin() as connection:
        placed = (
            "INSERT INTO placements (execution_id, tenant_id, provider, engine_identity, generation, run, name,"
            " resource_id, state, node)"
            " SELECT id, tenant_id, 'engine', :identity, 1, 1, 'n', 'r-1', 'placed', node FROM executions"
        )
        await connection.execute(text(placed), {"identity": identity})
        await connection.execute(text("UPDATE tenants SET serving_execution = (SELECT id FROM executions)"))


async def logs(api: Api, **asked: Any) -> httpx.Response:
    return await api.client.get("/v1/tenants/acme/logs", params=asked)


async def run(api: Api) -> httpx.Response:
    asked = {"command": ["ps"], "timeout_seconds": 5}
    return await api.client.post("/v1/tenants/acme/exec", json=asked)


async def test_logs_and_commands_are_had_at_any_machine(api: Api, there: Engine) -> None:
    await serving(api)
    assert (await logs(api, tail=5)).text == f"a line of {THERE}"
    followed = await logs(api, after="r-1/3")
    assert (followed.text, followed.headers["Log-Cursor"]) == ("from 3 on", "r-1/7")
    ran = await run(api)
    assert ran.json() == {"exit_code": 3, "output": f"said by {THERE}", "cut": False}
    assert there.asked == [("logs", "r-1", 5), ("run_command", "r-1", ("ps",), 5.0)]


async def test_the_supervisor_answers_for_the_head(api: Api, actors: NamedActors) -> None:
    actors.live["supervisor"] = Outpost({"engine": Engine(THERE)})
    await serving(api, head=True)
    assert (await logs(api)).text == f"a line of {THERE}"


async def test_a_tenant_of_this_machine_takes_no_detour(api: Api, there: Engine) -> None:
    await serving(api, HERE)
    assert (await logs(api)).text == f"a line of {HERE}"
    assert there.asked == []


async def test_what_the_provider_there_says_is_what_the_client_hears(api: Api, there: Engine) -> None:
    await serving(api)
    there.away = True
    refused = await logs(api)
    assert (refused.status_code, refused.json()["detail"]) == (503, "the engine does not answer")
    assert refused.headers["Retry-After"]


async def test_a_machine_that_does_not_answer_is_named(api: Api, actors: NamedActors, there: Engine) -> None:
    await serving(api)
    for leave in (lambda: setattr(actors.live["outpost:b"], "dead", True), lambda: actors.live.pop("outpost:b")):
        leave()
        for refused in (await logs(api), await run(api)):
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            assert refused.json()["detail"].startswith("the tenant runs on node b, which does not answer")
