"""A burst behind a platform that hangs: a hundred tenants wait for it, and those of another platform do not."""

import random

import pytest

from tests.chaos.outages import platform_hangs
from tests.e2e.installation import Installation

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(900)]

TENANTS = 100


async def test_a_hundred_tenants_behind_a_platform_that_hangs_hold_up_nobody_else(
    installation: Installation, web_image: str
) -> None:
    told = await platform_hangs(installation, random.Random(1), TENANTS)
    print(told)
    assert "not ours" not in told
