"""The sequence of docs/operations.md that upgrades a cluster machine by machine, word for word, under load: each
machine goes from the cluster of the old release to that of the new one, with all that its tenants run."""

import asyncio
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest

from tests.chaos.invariants import check
from tests.chaos.load import Client, acknowledged, delete_all, load_on
from tests.cluster.balancer import ANSWER_SECONDS, Balancer
from tests.cluster.conftest import PORT, TOKEN
from tests.cluster.machines import Machine, Network
from tests.cluster.members import LANDLORD, UP_SECONDS, Member, joined
from tests.cluster.test_placement import spec
from tests.e2e.blocks import blocks
from tests.e2e.checkout import Checkout
from tests.pages import DOCS
from tests.postgres import DebianServer

pytestmark = [
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.timeout(3000),
    # A connection to a machine whose API has ended is left to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

GRACE_SECONDS = 300
CLIENTS = 4
SECONDS = 5.0
"""Load before the first command, and after the last one."""
SETTLED_SECONDS = 120.0
TRIES = 3
NAMES = {"web-1": "first", "web-2": "second", "web-3": "third"}
ADDRESSES = {f"10.0.0.{number}": number - 1 for number in (1, 2, 3)}


class Strict(Balancer):
    """Asks each machine in turn. What was refused for too much at once is sent again after the pause that was named, as
    the API's document says. Notes each other request that was not answered, or was answered with a failure of the
    server. `again`: how many were sent again."""

    def __init__(self, addresses: Sequence[str], verify: ssl.SSLContext) -> None:
        super().__init__(addresses, verify)
        self.failed: list[str] = []
        self.again = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        what = f"{time.strftime('%X')} {request.method} {request.url.path}"
        for _ in range(TRIES):
            self.asked += 1
            try:
                answer = await super().handle_async_request(request)
            except httpx.TransportError as error:
                self.failed.append(f"{what} at {request.url.host}: {error!r}")
                raise
            if answer.status_code < 500:
                return answer
            said = (await answer.aread()).decode()
            if '"overloaded"' not in said:
                break
            self.again += 1
            await asyncio.sleep(float(answer.headers["retry-after"]))
        self.failed.append(f"{what} at {request.url.host}: {answer.status_code} {said}")
        return answer


class Upgrade:
    """The blocks of the page, for these machines: the first is the old head, the last becomes the new one."""

    def __init__(self, members: Sequence[Member], new: str, directory: Path) -> None:
        self._members = members
        self._directory = directory
        self._words = {
            "/opt/landlord-2/.venv/bin/landlord": new,
            "/opt/landlord/.venv/bin/landlord": LANDLORD,
            **NAMES,
            **{address: members[number].machine.address for address, number in ADDRESSES.items()},
        }

    def of(self, name: str) -> str:
        page = [one.text for one in blocks() if one.page == DOCS / "operations.md" and f"# on {name}," in one.text]
        assert len(page) == 1, f"the page has one block for {name}"
        text = page[0]
        for word, instead in self._words.items():
            text = text.replace(word, instead)
        return text

    async def run(self, name: str) -> float:
        """Returns the seconds that it took."""
        (member,) = [one for one in self._members if one.machine.name == NAMES[name]]
        script = f"cd {self._directory}\n{self.of(name)}"
        since = time.monotonic()
        settings = {**member.settings, "LANDLORD_TOKEN": TOKEN}
        run = partial(member.machine.run, "bash", "-euxc", script, timeout=UP_SECONDS, **settings)  # type: ignore[arg-type]
        print(await asyncio.to_thread(run))
        return time.monotonic() - since


def kept(members: Sequence[Member], names: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
    """Of each tenant the machine and the process that serve it."""
    return {
        name: [
            (member.machine.name, one.pid)
            for member in members
            for one in member.machine.processes()
            if one.cmdline()[-1:] == [f"page of {name}"]
        ]
        for name in names
    }


async def ready(http: httpx.AsyncClient, name: str, generation: int) -> dict[str, Any]:
    give_up = time.monotonic() + SETTLED_SECONDS
    while True:
        tenant: dict[str, Any] = (await http.get(f"/tenants/{name}")).json()
        if (tenant["status"], tenant["observed_generation"]) == ("ready", generation):
            return tenant
        assert time.monotonic() < give_up, tenant
        await asyncio.sleep(0.5)


@asynccontextmanager
async def visited(urls: Mapping[str, str]) -> AsyncIterator[list[str]]:
    """Tenants' pages are asked for without pause within the block. Yields what has failed."""
    failed: list[str] = []
    answered = Counter[str]()

    async def visit(name: str, url: str) -> None:
        while True:
            try:
                assert (await direct.get(url)).text == f"page of {name}"
                answered[name] += 1
            except (httpx.HTTPError, AssertionError) as error:
                failed.append(f"{time.strftime('%X')} {name}: {error!r}")
            await asyncio.sleep(0.1)

    async with httpx.AsyncClient(trust_env=False, timeout=10) as direct:
        visits = [asyncio.create_task(visit(name, url)) for name, url in urls.items()]
        try:
            yield failed
        finally:
            for one in visits:
                one.cancel()
            await asyncio.gather(*visits, return_exceptions=True)
    assert answered.keys() == urls.keys()


def builds(server: DebianServer) -> str:
    return server.sql("SELECT string_agg(build, ' ') FROM clusters WHERE state = 'active'")


async def test_no_request_fails_while_machine_after_machine_is_upgraded(
    network: Network, machines: tuple[Machine, Machine], server: DebianServer
) -> None:
    members = joined([*machines, network.machine("third")], server, PORT, TOKEN, GRACE_SECONDS)
    old_build = builds(server)
    checkout = Checkout(members[0].machine.directory / "next")
    checkout.change()
    upgrade = Upgrade(members, str(checkout.landlord), members[0].machine.directory)
    trusted = ssl.create_default_context(cafile=str(members[0].home / "nodes" / "ca.pem"))
    balancer = Strict([member.machine.address for member in members], trusted)
    names = [f"on-{member.machine.name}" for member in members]
    async with httpx.AsyncClient(
        base_url=f"https://{members[0].machine.address}:{PORT}/v1",
        headers={"Authorization": f"Bearer {TOKEN}"},
        transport=balancer,
        timeout=ANSWER_SECONDS,
        trust_env=False,
    ) as http:
        for name, member in zip(names, members, strict=True):
            placed = spec(name) | {"placement": {"node": member.machine.name}}
            made = await http.post("/tenants", json={"name": name, "spec": placed})
            assert made.status_code == 202, made.text
        tenants = {name: await ready(http, name, 1) for name in names}
        before = kept(members, names)
        assert [[one for one, _ in before[name]] for name in names] == [["first"], ["second"], ["third"]]
        ours = f"up-{token_hex(3)}"
        clients = [Client(f"{ours}-{n}", "process", "", random.Random(n), http) for n in range(CLIENTS)]
        seen = [0]
        urls = {name: tenant["observed"]["endpoints"][0]["url"] for name, tenant in tenants.items()}
        async with visited(urls) as unseen, load_on(clients):
            await asyncio.sleep(SECONDS)
            seen.append(acknowledged(clients))
            for name, member in (("web-3", members[2]), ("web-2", members[1]), ("web-1", members[0])):
                balancer.addresses.remove(member.machine.address)
                print(f"{name}: {await upgrade.run(name):.0f} s")
                trusted.load_verify_locations(cafile=str(members[2].home / "nodes" / "ca.pem"))
                balancer.addresses.append(member.machine.address)
                seen.append(acknowledged(clients))
            await asyncio.sleep(SECONDS)
        seen.append(acknowledged(clients))
        print(f"acknowledged after each part: {seen}; sent again: {balancer.again}")
        assert (balancer.failed, unseen) == ([], [])
        assert sorted(set(seen)) == seen
        assert kept(members, names) == before, "what ran stays as it is"
        for name in names:
            await ready(http, name, 1)
        await check(clients, http)

        # Each tenant is changed where it is, by the new release, and goes when it is deleted.
        assert set((await nodes_of(http)).values()) == {True}
        assert builds(server) not in (None, "", old_build)
        for name in names:
            changed = {"spec": {"compute": {"config": {"env": {"COLOR": "new"}}}}}
            assert (await http.patch(f"/tenants/{name}", json=changed)).status_code == 202
        for name, member in zip(names, members, strict=True):
            assert (await ready(http, name, 2))["observed"]["node"] == member.machine.name
        for name in names:
            await http.delete(f"/tenants/{name}")
        await delete_all(clients)
        await check(clients, http)


async def nodes_of(http: httpx.AsyncClient) -> dict[str, bool]:
    """All machines of the new cluster, and whether each is alive."""
    give_up = time.monotonic() + SETTLED_SECONDS
    while True:
        found = {one["name"]: one["alive"] for one in (await http.get("/nodes")).json()["items"]}
        if found.keys() == set(NAMES.values()):
            return found
        assert time.monotonic() < give_up, found
        await asyncio.sleep(0.5)
