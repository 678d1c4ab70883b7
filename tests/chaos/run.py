"""One seeded run: clients under load, meanwhile faults and maybe an outage, then the invariants. The seed gives the
same run again, as far as timing allows."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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
    installation: Installation,
    seed: int,
    faults: Sequence[Fault],
    *,
    image: str,
    load_seconds: float,
    tenants: int = 4,
    outage: Fault | None = None,
    after: Sequence[Fault] = (),
) -> Report:
    """`outage`: lasts while the faults come, one by one; `after`: faults that come once it is over. Raises
    AssertionError with the seed where an invariant does not hold, or nothing happened during the faults."""
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
            async with load_on(clients, load_seconds):
                between = load_seconds / (len(faults) + len(after) + 1)
                await asyncio.sleep(rng.uniform(0.3, between))
                before = acknowledged(clients)
                async with _lasting(outage, installation, random.Random(rng.random()), report):
                    for fault in faults:
                        await _suffer(fault, installation, rng, report)
                        await asyncio.sleep(rng.uniform(0.1, between))
                for fault in after:
                    await _suffer(fault, installation, rng, report)
                await asyncio.sleep(FELT_SECONDS)
                report.during = acknowledged(clients) - before
            report.acknowledged = acknowledged(clients)
            assert report.during > 0, "nothing was acknowledged during the faults"
            await check(clients, http)
            await delete_all(clients)
            await check(clients, http)
        except Exception as error:
            why = _told(error)
            raise AssertionError(f"seed {seed}, after {report.faults}: {why}") from error
    report.seconds = time.monotonic() - began
    return report


def _told(error: Exception) -> str:
    if isinstance(error, ExceptionGroup):
        return "; ".join(map(_told, error.exceptions))
    return str(error) if isinstance(error, AssertionError) else repr(error)


async def _suffer(fault: Fault, installation: Installation, rng: random.Random, report: Report) -> None:
    report.faults.append(f"{fault.__name__}: {await fault(installation, rng)}")


@asynccontextmanager
async def _lasting(
    outage: Fault | None, installation: Installation, rng: random.Random, report: Report
) -> AsyncIterator[None]:
    """The block runs while the outage does, and ends with it."""
    if outage is None:
        yield
        return
    async with asyncio.TaskGroup() as group:
        group.create_task(_suffer(outage, installation, rng, report), name=outage.__name__)
        yield
