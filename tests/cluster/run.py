"""One seeded run on a cluster: clients under load, a machine that is cut off meanwhile, then the invariants of the
fault suite. The seed gives the same run again, as far as timing allows."""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex

import httpx

from tests.chaos.invariants import check
from tests.chaos.load import Client, acknowledged, delete_all, load_on
from tests.cluster.balancer import ANSWER_SECONDS, CONNECT_SECONDS, Balancer
from tests.cluster.cuts import Cut
from tests.cluster.members import Member

TENANTS = 4
BEFORE_SECONDS = 3.0
JOINED_SECONDS = 300.0
NOTICED_SECONDS = 5.0
"""After the cut. Until then the supervisor may say what it saw before."""


@dataclass
class Report:
    """`during`: acknowledgements while the machine was cut off."""

    seed: int
    cut: Cut
    acknowledged: int = 0
    during: int = 0
    retried: int = 0
    """Tenants on their first way to `ready` on a machine that was lost: they end as failed, and are for their client to
    retry."""
    seconds: float = 0.0

    def __str__(self) -> str:
        told = f"{self.acknowledged} acknowledged, {self.during} of them meanwhile; {self.retried} retried"
        return f"seed {self.seed}: {self.cut}; {told}; {self.seconds:.0f} s"


async def run(members: Sequence[Member], token: str, seed: int, cut: Cut | None = None) -> Report:
    """`members`: the head first. `cut`: instead of the seed's. Raises AssertionError with the seed where an invariant
    does not hold."""
    rng = random.Random(seed)
    drawn = Cut.of(rng, len(members))
    report = Report(seed, cut or drawn)
    began = time.monotonic()
    ours = f"m{seed}-{token_hex(3)}"  # the same seed may run in another checkout
    async with balanced(members, token) as http:
        clients = [
            Client(f"{ours}-{number}", "process", "", random.Random(rng.random()), http, without_key=False)
            for number in range(TENANTS)
        ]
        try:
            async with load_on(clients, BEFORE_SECONDS):
                await asyncio.sleep(BEFORE_SECONDS)
                before = acknowledged(clients)
                await report.cut.made(members[report.cut.machine].machine)
                report.during = acknowledged(clients) - before
            await _joined(members, http)
            report.acknowledged = acknowledged(clients)
            if report.cut.seconds > ANSWER_SECONDS:  # in less, each client may wait for the machine that is silent
                assert report.during > 0, "nothing was acknowledged meanwhile"
            async with _retrying(clients, report):
                await check(clients, http)
            await delete_all(clients)
            await check(clients, http)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {report.cut}: {error!r}") from error
    report.seconds = time.monotonic() - began
    return report


def balanced(members: Sequence[Member], token: str) -> httpx.AsyncClient:
    """A client of all machines, from this one."""
    trusted = ssl.create_default_context(cafile=str(members[0].home / "nodes" / "ca.pem"))
    return httpx.AsyncClient(
        base_url=f"https://{members[0].machine.address}:{members[0].port}/v1",
        headers={"Authorization": f"Bearer {token}"},
        transport=Balancer([member.machine.address for member in members], trusted),
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        trust_env=False,
    )


async def _joined(members: Sequence[Member], http: httpx.AsyncClient) -> None:
    """Each machine is a node again. Ray ends what runs on one that was dead to it: it joins again, as an operator has
    it."""
    give_up = time.monotonic() + JOINED_SECONDS
    since = datetime.now(UTC) + timedelta(seconds=NOTICED_SECONDS)
    head, *others = members
    while True:
        alive = await _alive(http, since)
        missing = [] if alive is None else [member for member in others if member.machine.name not in alive]
        if alive is not None and not missing:
            return
        assert time.monotonic() < give_up, f"of the nodes there live {alive}"
        for member in missing:
            await asyncio.to_thread(member.run, "node", "join", head.machine.address, check=False)
        await asyncio.sleep(2)


@asynccontextmanager
async def _retrying(clients: Sequence[Client], report: Report) -> AsyncIterator[None]:
    async def retry() -> None:
        while True:
            for client in clients:
                with contextlib.suppress(httpx.TransportError):
                    answer = await client.http.get(f"/tenants/{client.name}")
                    if answer.status_code == 200 and answer.json()["status"] == "failed":
                        report.retried += (await client.http.post(f"/tenants/{client.name}/retry")).status_code == 202
            await asyncio.sleep(1)

    task = asyncio.create_task(retry())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _alive(http: httpx.AsyncClient, since: datetime) -> set[str] | None:
    """Those that the supervisor saw alive after that. None: it has not looked since."""
    try:
        answer = await http.get("/nodes")
    except httpx.TransportError:
        return None
    body = answer.json() if answer.status_code == 200 else {"checked_at": None}
    if not body["checked_at"] or datetime.fromisoformat(body["checked_at"]) < since:
        return None
    return {node["name"] for node in body["items"] if node["alive"]}
