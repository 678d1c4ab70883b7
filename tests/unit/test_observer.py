"""Looks at what serves: a probe each time, the platform now and then, and at once when the probe fails."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from actors.tenant.health import OBSERVE_SECONDS, Observer
from controlplane.model import Execution, ExecutionState, HealthSpec, HttpProbe
from controlplane.ports import Origin, ProbeResult, Resource, ResourceState
from tests.unit.builders import SPEC, execution

THERE = Resource("r1", "landlord-acme", Origin("us", "acme", uuid4(), 1, 1, "x", "h"), ResourceState.RUNNING)


class Platform:
    """Counts how often it is asked, as upkeep and as prober."""

    def __init__(self) -> None:
        self.observed = self.probed = self.read = 0
        self.resource: Resource | None = THERE
        self.healthy: bool | None = True
        self.now = 0.0

    async def context(self, of: Execution) -> Any:
        self.read += 1
        return of.id

    async def observe(self, of: Execution, context: Any) -> tuple[Resource | None, ProbeResult]:
        assert context == of.id
        self.observed += 1
        return self.resource, ProbeResult(self.healthy if self.resource else False)

    async def probe(self, resource: Resource, health: HealthSpec) -> ProbeResult:
        self.probed += 1
        return ProbeResult(self.healthy)


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def observer(platform: Platform) -> Observer:
    return Observer(platform, platform, clock=lambda: platform.now)  # type: ignore[arg-type]


def probed(*, by_us: bool = True) -> Execution:
    health = HealthSpec(http=HttpProbe(path="/") if by_us else None)
    spec = SPEC.model_copy(update={"health": health})
    return execution(ExecutionState.SUCCEEDED, spec=spec)


async def test_while_it_answers_well_the_platform_is_asked_now_and_then(platform: Platform, observer: Observer) -> None:
    for second in range(int(OBSERVE_SECONDS) * 2):
        platform.now = float(second)
        assert await observer.look(probed()) == (THERE, ProbeResult(True))
    assert (platform.observed, platform.probed) == (2, 18)


async def test_what_answers_badly_is_observed_at_once(platform: Platform, observer: Observer) -> None:
    await observer.look(probed())
    platform.healthy, platform.resource = False, None
    assert await observer.look(probed()) == (None, ProbeResult(False))
    assert platform.observed == 2


async def test_the_platforms_own_health_is_asked_each_time(platform: Platform, observer: Observer) -> None:
    for _ in range(3):
        await observer.look(probed(by_us=False))
    assert (platform.observed, platform.probed, platform.read) == (3, 0, 1)
    platform.healthy = False
    await observer.look(probed(by_us=False))
    assert (platform.observed, platform.read) == (5, 2), (
        "what it says badly is asked again, with rows that are read now"
    )


async def test_another_execution_and_a_sweeps_finding_ask_anew(platform: Platform, observer: Observer) -> None:
    await observer.look(probed())
    await observer.look(replace(probed(), id="another"))
    observer.forget()
    await observer.look(replace(probed(), id="another"))
    assert platform.observed == 3
