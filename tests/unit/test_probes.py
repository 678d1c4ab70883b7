"""Probes of tenants at rest: who hangs keeps nobody else from his probe."""

import asyncio
from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest

from actors.supervisor import probes
from actors.supervisor.nominations import Nominations
from actors.supervisor.probes import RestingProbes
from controlplane.model import HealthSpec
from controlplane.persistence.fleet import TenantKey
from controlplane.persistence.resting import Serving
from controlplane.ports import Origin, ProbeResult, Resource, ResourceState
from tests.unit.test_nominations import SERVING

HANGING, ANSWERING = 100, 50


class Tenants:
    """A prober: names that begin with `hangs` never answer, those with `sick` badly."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.forever = asyncio.Event()

    def known(self, resource: Resource, health: HealthSpec) -> ProbeResult | None:
        return ProbeResult(healthy=False) if resource.name.startswith("known-sick") else None

    async def probe(self, resource: Resource, health: HealthSpec) -> ProbeResult:
        self.asked[resource.name] += 1
        if resource.name.startswith("hangs"):
            await self.forever.wait()
        return ProbeResult(healthy=not resource.name.startswith("sick"))


def resting(*names: str) -> dict[str, tuple[Serving, Resource]]:
    there = {}
    for number, name in enumerate(names):
        origin = Origin("installation", name, UUID(int=number), 1, 1, f"execution of {name}", "hash")
        serving = replace(SERVING, tenant=TenantKey(UUID(int=number), name), execution_id=origin.execution_id)
        there[origin.execution_id] = (serving, Resource(name, name, origin, ResourceState.RUNNING))
    return there


async def test_a_hundred_that_hang_keep_none_of_fifty_from_their_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "QUICK_SECONDS", 0.05)
    tenants, now = Tenants(), [0.0]
    there = resting(*(f"hangs{n}" for n in range(HANGING)), *(f"answers{n}" for n in range(ANSWERING)))
    nominations = Nominations(lambda tenant, priority: None)
    lanes = RestingProbes(tenants, nominations, lambda: there, (), 30, clock=lambda: now[0])
    await lanes.quick()
    slow = asyncio.create_task(lanes.slow())
    for _ in range(3):
        now[0] += 30
        await lanes.quick()
    assert [tenants.asked[f"answers{n}"] for n in range(ANSWERING)] == [4] * ANSWERING
    assert max(tenants.asked[f"hangs{n}"] for n in range(HANGING)) <= 2, "once in each lane, where they wait"
    slow.cancel()


async def test_who_fails_is_nominated_and_who_lives_here_is_left_to_its_actor() -> None:
    tenants = Tenants()
    there = resting("sick", "well", "sick-and-live")
    woken: list[str] = []
    nominations = Nominations(lambda tenant, priority: woken.append(tenant.name))
    lanes = RestingProbes(tenants, nominations, lambda: there, {"sick-and-live"}, 30)
    assert await lanes.quick() == 2
    assert woken == ["sick"]
    assert await lanes.quick() == 0, "not before its interval is over"


async def test_who_need_not_be_asked_is_judged_all_the_same() -> None:
    tenants = Tenants()
    there = resting("known-sick", "well")
    woken: list[str] = []
    nominations = Nominations(lambda tenant, priority: woken.append(tenant.name))
    lanes = RestingProbes(tenants, nominations, lambda: there, (), 30)
    assert await lanes.quick() == 2
    assert (woken, set(tenants.asked)) == (["known-sick"], {"well"})
    assert await lanes.quick() == 0, "not before its interval is over"
