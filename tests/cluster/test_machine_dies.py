"""A machine dies with everything on it, while 20 executions are under way there."""

import asyncio
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.invariants import check
from tests.chaos.load import SERVER, Client, delete_all, spec_of
from tests.cluster.conftest import PORT, TOKEN
from tests.cluster.cuts import GRACE_SECONDS
from tests.cluster.machines import Machine
from tests.cluster.members import Member, joined
from tests.cluster.run import balanced
from tests.cluster.waiting import until, until_it_fits
from tests.postgres import DebianServer
from tests.processes import such

pytestmark = [
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    # A request that is given up in the middle of its TLS handshake leaves our own socket to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TENANTS = 20
SECONDS = 600.0
SILENT_SECONDS = 180
"""A tenant's server answers so long after its start: the execution waits for it."""


class Slow(Client):
    """Its tenant is under way for a while."""

    def _send_create(self, color: str, key: str) -> Any:
        spec = spec_of("process", color, "")
        waits = f"import os, time\nif not os.path.exists({self.image!r}): time.sleep({SILENT_SECONDS})\n"
        spec["compute"]["config"]["command"] = ["python3", "-S", "-c", waits + SERVER, "{port}", "{address}"]
        return self.http.post("/tenants", json={"name": self.name, "spec": spec}, headers={"Idempotency-Key": key})


async def test_20_executions_on_it_end_elsewhere_and_nothing_is_left_when_it_is_back(
    machines: tuple[Machine, Machine], server: DebianServer
) -> None:
    head, other = members = joined(machines, server, PORT, TOKEN, GRACE_SECONDS)
    died = other.machine.directory / "died"  # a path that all tenants may look for
    async with balanced(members, TOKEN) as http:
        clients: list[Client] = [
            Slow(f"dies-{number}", "process", str(died), random.Random(number), http) for number in range(TENANTS)
        ]

        async def nodes() -> list[dict[str, Any]]:
            return list((await http.get("/nodes")).json()["items"])

        have_room = len(members)
        await until_it_fits(nodes, lambda found: len([one for one in found if one["providers"]]) == have_room, SECONDS)
        await asyncio.to_thread(head.run, "node", "drain", "first", LANDLORD_TOKEN=TOKEN)
        await asyncio.gather(*(client.act() for client in clients))

        async def begun() -> int:
            colors = {client.color for client in clients}
            there = await asyncio.to_thread(other.machine.processes)
            return len(
                {one.environ()["COLOR"] for one in such(lambda one: one.environ().get("COLOR") in colors, there)}
            )

        await until_it_fits(begun, lambda found: found == TENANTS, SECONDS)
        states = await _states(http, clients)
        assert states == ["running"] * TENANTS, states
        await asyncio.to_thread(head.run, "node", "drain", "first", "--undo", LANDLORD_TOKEN=TOKEN)
        died.touch()
        await asyncio.to_thread(other.machine.die)

        async def ready() -> int:
            tenants = [(await http.get(f"/tenants/{client.name}")).json() for client in clients]
            return sum(one.get("status") == "ready" and one["observed"]["node"] == "first" for one in tenants)

        await until_it_fits(ready, lambda found: found == TENANTS, SECONDS)
        await check(clients, http)
        states = await _states(http, clients)
        assert states == ["superseded"] * TENANTS, states

        await asyncio.to_thread(other.run, "node", "join", head.machine.address)
        await check(clients, http)
        await delete_all(clients)
        await check(clients, http)
    until(lambda: not any(map(_left, members)), "nothing of them is left on either machine")


async def _states(http: httpx.AsyncClient, clients: list[Client]) -> list[str]:
    """Of the executions that the creations were acknowledged with."""
    return [(await http.get(f"/executions/{client.executions[0]}")).json()["state"] for client in clients]


def _left(member: Member) -> list[Path]:
    return [path for path in (member.home / "processes").rglob("*") if "dies-" in path.name]
