"""A short part of `python -m tests.cluster`: a machine is cut off under load, for a moment and past the grace."""

import asyncio
import time

import pytest

from tests.cluster.conftest import PORT, TOKEN
from tests.cluster.cuts import GRACE_SECONDS
from tests.cluster.machines import Machine
from tests.cluster.members import joined
from tests.cluster.run import run
from tests.postgres import DebianServer

pytestmark = [
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    # A request that is given up in the middle of its TLS handshake leaves our own socket to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LEFT_SECONDS = 60.0
"""Until the actor of a deleted tenant, which looked for it once more, has left."""

SEEDS = (2, 5)
"""The head both ways for 5 s; the other machine past the grace, deaf to nobody and heard by none."""


async def test_nothing_is_lost_doubled_or_left_behind(machines: tuple[Machine, Machine], server: DebianServer) -> None:
    members = joined(machines, server, PORT, TOKEN, GRACE_SECONDS)
    for seed in SEEDS:
        report = await run(members, TOKEN, seed)
        print(report)
        assert report.acknowledged > 0
    give_up = time.monotonic() + LEFT_SECONDS
    while "No differences" not in (said := members[0].run("doctor", check=False)):
        assert time.monotonic() < give_up, said
        await asyncio.sleep(1)
