"""The fake provider keeps the contract, and its cloud fails as told."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from controlplane.errors import Unavailable
from controlplane.model import HealthSpec
from controlplane.steps.probe import HealthProber
from providers.compute.fake import REFUSED, FakeCloud, FakeCompute
from providers.conformance.compute import ComputeConformance
from providers.conformance.compute_bench import SECRET, Gate, LoseAnswer, desire
from providers.conformance.compute_capabilities import NoExecProbesConformance

OPEN = Gate(True)


class TestFakeConforms(ComputeConformance, NoExecProbesConformance):
    @pytest.fixture
    def cloud(self) -> FakeCloud:
        return FakeCloud()

    @pytest_asyncio.fixture
    async def provider(self, cloud: FakeCloud) -> FakeCompute:
        return FakeCompute(cloud)

    @pytest_asyncio.fixture
    async def another(self, cloud: FakeCloud) -> FakeCompute:
        return FakeCompute(cloud)

    @pytest_asyncio.fixture
    async def elsewhere(self) -> FakeCompute:
        return FakeCompute(FakeCloud(identity="fake-2"))

    @pytest.fixture
    def lose_answer(self, cloud: FakeCloud) -> LoseAnswer:
        return lambda effect: cloud.script(effect, "times out")

    @pytest.fixture
    def good_config(self) -> Mapping[str, Any]:
        return {"version": "1"}

    @pytest.fixture
    def changed_config(self) -> Mapping[str, Any]:
        return {"version": "2"}

    @pytest.fixture
    def refused_config(self) -> Mapping[str, Any]:
        return {"env": {"TOKEN": SECRET}, "refuses": f"no use for {SECRET}"}

    @pytest.fixture
    def refusal_code(self) -> object:
        return REFUSED

    @pytest.fixture
    def invalid_config(self) -> Mapping[str, Any]:
        return {"version": 1}


@pytest_asyncio.fixture
async def prober() -> AsyncIterator[HealthProber]:
    prober = HealthProber()
    yield prober
    await prober.close()


async def test_health_follows_its_script(prober: HealthProber) -> None:
    provider = FakeCompute(FakeCloud())
    resource = await provider.apply(desire("test", {"health": ["starting"] * 3 + ["healthy", "unhealthy"]}), OPEN)
    verdicts = []
    for _ in range(5):
        seen = await provider.inspect(resource.id)
        assert seen is not None
        verdicts.append((await prober.probe(seen, HealthSpec())).healthy)
    assert verdicts[-2:] == [False, False]
    assert True in verdicts
    assert verdicts[0] is None


async def test_ten_thousand_tenants_through_failures_end_with_one_resource_each() -> None:
    waited: list[float] = []

    async def no_time_passes(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0)

    cloud = FakeCloud(latency=0.5, failure_rate=0.1, timeout_rate=0.1, rng=random.Random(7), sleep=no_time_passes)
    provider = FakeCompute(cloud)

    async def persist(number: int) -> str:
        desired = desire("test", {}, tenant=f"t-{number}")
        while True:
            try:
                return (await provider.apply(desired, OPEN)).id
            except Unavailable:
                continue

    made = await asyncio.gather(*(persist(number) for number in range(10_000)))
    assert len(set(made)) == 10_000
    assert waited
    cloud.script("list", "works")
    assert {resource.id for resource in await provider.list_owned("test")} == set(made)
