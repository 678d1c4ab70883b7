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
from tests.chaos.load import Client, acknowledged, delete_all, load_on
from tests.e2e.installation import Installation

FELT_SECONDS = 2.0
"""After the last fault: what it killed is coming back."""


@dataclass
class Report:
    """What a run did. `during`: acknowledgements from the first fault to the last, for as long as that is felt."""

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
            before = None
            async with load_on(clients, load_seconds):
                for fault in faults:
                    await asyncio.sleep(rng.uniform(0.3, load_seconds / (len(faults) + 1)))
                    before = acknowledged(clients) if before is None else before
                    report.faults.append(f"{fault.__name__}: {await fault(installation, rng)}")
                await asyncio.sleep(FELT_SECONDS)
                report.during = acknowledged(clients) - (before or 0)
            report.acknowledged = acknowledged(clients)
            assert report.during > 0, "nothing was acknowledged during the faults"
            await check(installation, clients, http)
            await delete_all(clients)
            await check(installation, clients, http)
        except Exception as error:
            why = str(error) if isinstance(error, AssertionError) else repr(error)
            raise AssertionError(f"seed {seed}, after {report.faults}: {why}") from error
    report.seconds = time.monotonic() - began
    return report
