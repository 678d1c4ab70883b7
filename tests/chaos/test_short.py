"""The short seeded part of the fault suite; the long one is `make chaos`."""

import random

import pytest

from tests.chaos.faults import LARGE, SMALL, Fault
from tests.chaos.run import run
from tests.e2e.installation import Installation

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(400)]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_small_faults(installation: Installation, web_image: str, seed: int) -> None:
    order: list[Fault] = random.Random(seed).sample(SMALL, len(SMALL))
    report = await run(installation, seed, order, image=web_image, load_seconds=15)
    print(report)
    assert report.acknowledged > 0


async def test_a_large_fault(installation: Installation, web_image: str) -> None:
    report = await run(installation, 3, random.Random(3).sample(LARGE, 1), image=web_image, load_seconds=8)
    print(report)
    assert report.acknowledged > 0
