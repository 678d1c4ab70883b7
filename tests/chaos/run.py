"""One seeded run: clients under load, faults meanwhile, then the invariants. The seed gives the same run again, as far
as timing allows."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from secrets import token_hex

from tests.chaos.faults import Fault
from tests.chaos.invariants import check
from tests.chaos.load import Client
from tests.e2e.installation import Installation


@dataclass
class Report:
    """What a run did. `during`: acknowledgements from the first fault on."""

    seed: int
    faults: list[str] = field(default_factory=list)
    acknowledged: int = 0
    during: int = 0
    seconds: float = 0.0


async def run(
    installation: Installation, seed: int, faults: Sequence[Fault], *, image: str, load_seconds: float, tenants: int = 4
) -> Report:
    """Raises AssertionError with the seed where an invariant does not hold, or nothing happened during the faults."""
    rng = random.Random(seed)
    report = Report(seed)
    began = time.monotonic()
    ours = f"c{seed}-{token_hex(3)}"  # the same seed may run in another checkout
    async with installation.http() as http:
        clients = [
            Client(f"{ours}-{number}", "docker" if number == 0 else "process", image, random.Random(rng.random()), http)
            for number in range(tenants)
        ]
        try:
            loads = [asyncio.create_task(_drive(client, load_seconds)) for client in clients]
            before = None
            for fault in faults:
                await asyncio.sleep(rng.uniform(0.3, load_seconds / (len(faults) + 1)))
                before = _acknowledged(clients) if before is None else before
                report.faults.append(f"{fault.__name__}: {await fault(installation, rng)}")
            await asyncio.gather(*loads)
            report.acknowledged = _acknowledged(clients)
            report.during = report.acknowledged - (before or 0)
            assert report.during > 0, "nothing was acknowledged during the faults"
            await check(installation, clients, http)
            await _delete_all(clients)
            await check(installation, clients, http)
        except Exception as error:
            why = str(error) if isinstance(error, AssertionError) else repr(error)
            raise AssertionError(f"seed {seed}, after {report.faults}: {why}") from error
    report.seconds = time.monotonic() - began
    return report


def _acknowledged(clients: Sequence[Client]) -> int:
    return sum(client.acknowledged for client in clients)


async def _drive(client: Client, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await (client.drop_mid_flight() if client.rng.random() < 0.15 else client.act())
        await asyncio.sleep(client.rng.uniform(0, 1.0))


async def _delete_all(clients: Sequence[Client]) -> None:
    """After any prefix of requests and faults a DELETE ends `deleted`."""
    for client in clients:
        if client.color is not None:
            await client.delete()
