"""`landlord up` over a running system, with the same build and with another: under load no request is dropped."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.e2e.checkout import Checkout
from tests.e2e.installation import Installation, free_port, ready

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(600)]

Ask = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]

READERS = 6
WRITERS = 3

DESCRIBE = """
import json, sys, ray
from actors.operator import Operator
ray.init(sys.argv[1], namespace="landlord")
operator, builds = Operator(), []
for name in operator.live():
    try:
        builds.append(operator.tenant(name)["build"])
    except (LookupError, ray.exceptions.RayActorError):
        pass  # it left meanwhile
print(json.dumps([operator.supervisor()["build"], builds]))
"""


def spec(color: str = "blue") -> dict[str, Any]:
    return {"compute": {"provider": "fake", "config": {"env": {"COLOR": color}}}}


@dataclass
class Load:
    """What was asked and answered while the system was renewed."""

    answered: Counter[str] = field(default_factory=Counter)
    dropped: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    """Tenant → the label of the last change that was acknowledged."""

    @asynccontextmanager
    async def on(self, installation: Installation, tenants: list[str]) -> AsyncIterator[None]:
        """Readers and writers, each on a connection of its own, for as long as the block runs."""
        stop = asyncio.Event()
        work = [self._repeat(stop, installation, self._read(name)) for name in tenants[:READERS]]
        work += [self._repeat(stop, installation, self._write(name)) for name in tenants[:WRITERS]]
        running = [asyncio.create_task(one) for one in work]
        yield
        stop.set()
        await asyncio.gather(*running)

    async def _repeat(
        self,
        stop: asyncio.Event,
        installation: Installation,
        ask: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]],
    ) -> None:
        async with installation.http() as client:
            while not stop.is_set():
                try:
                    answer = await ask(client)
                except httpx.TransportError as error:
                    self.dropped.append(repr(error))
                    continue
                self.answered[f"{answer.request.method} {answer.status_code}"] += 1
                if answer.status_code >= 400:
                    self.dropped.append(f"{answer.request.method} {answer.status_code} {answer.text[:200]}")
                await asyncio.sleep(0.01)

    def _read(self, name: str) -> Ask:
        return lambda client: client.get(f"/tenants/{name}")

    def _write(self, name: str) -> Ask:
        async def write(client: httpx.AsyncClient) -> httpx.Response:
            label = uuid4().hex
            answer = await client.patch(f"/tenants/{name}", json={"labels": {"n": label}, "spec": spec(label)})
            if answer.is_success:
                self.labels[name] = label
            return answer

        return write


@pytest_asyncio.fixture
async def checkout() -> AsyncIterator[Checkout]:
    root = Path(tempfile.mkdtemp(prefix="ll-co-"))
    yield Checkout(root)
    shutil.rmtree(root, ignore_errors=True)


async def test_no_request_is_dropped_by_a_redeploy(checkout: Checkout) -> None:
    home = Path(tempfile.mkdtemp(prefix="ll-re-"))
    installation = Installation(
        home,
        free_port(),
        LANDLORD_COMPUTE_PROVIDERS="fake",
        LANDLORD_ACTOR_IDLE_SECONDS="never",
        LANDLORD_SWEEP_SECONDS="1",
    )
    installation.runs_from(checkout)
    names = [f"kept-{number}" for number in range(READERS)]
    try:
        await asyncio.to_thread(installation.up)
        async with installation.http() as client:
            for name in names:
                (await client.post("/tenants", json={"name": name, "spec": spec()})).raise_for_status()
            for name in names:
                await ready(client, name)
            supervisor = before = (await installation.operator_script(DESCRIBE))[0]

            # The same build: nothing to do. Another: everything is renewed, on the head that runs.
            await _renewed(installation, names)
            assert (await installation.operator_script(DESCRIBE))[0] == before
            checkout.change()
            await _renewed(installation, names)

            # Those of the old build leave once they are at rest, whatever the idle time; the next ones are new.
            async with asyncio.timeout(120):
                actors: list[str] = []
                while set(actors) != {supervisor}:
                    await client.post(f"/tenants/{names[0]}/reconcile")
                    supervisor, actors = await installation.operator_script(DESCRIBE)
            assert supervisor != before
    finally:
        await asyncio.to_thread(installation.run, "down", "--purge", check=False)
        shutil.rmtree(home, ignore_errors=True)


async def _renewed(installation: Installation, names: list[str]) -> None:
    """`up` under load."""
    load = Load()
    async with load.on(installation, names):
        await asyncio.sleep(1)
        await asyncio.to_thread(installation.up)
        await asyncio.sleep(3)
    assert load.dropped == []
    assert load.answered["GET 200"] > 100
    assert load.answered["PATCH 202"] > 10
    async with installation.http() as client:
        for name, label in load.labels.items():
            shown = await ready(client, name)
            assert shown["labels"] == {"n": label}
            assert shown["spec"]["compute"]["config"]["env"] == {"COLOR": label}
