"""After a roll-back an engine outside goes on, and asks this release for the steps of an execution whose spec only the
newer release can read: nothing is made by it, nothing is found healthy by it, and a delete goes on."""

import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.clock import RowClock
from controlplane.failpoints import Failpoints
from controlplane.model import Action, HealthSpec, StepName
from controlplane.persistence import executions, leases
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.ports import ProbeResult, Resource
from controlplane.steps.attempts import StepAttempts, Verdict
from controlplane.steps.platforms import Platforms
from controlplane.steps.probes import Probes
from controlplane.steps.run import Steps
from providers.compute.fake import FakeCloud, FakeCompute
from tests.integration.owner import create, delete, spec

MOST = 2
"""Attempts that a step has."""


class Well:
    async def probe(self, resource: Resource, health: HealthSpec) -> ProbeResult:
        return ProbeResult(healthy=True, detail="")


class Engine:
    """An engine outside, which knows ids, and asks for one step after the other."""

    def __init__(self, database: AsyncEngine) -> None:
        self.database, self.cloud, clock = database, FakeCloud(identity="cloud"), RowClock()
        store = PostgresExecutionStore(database, heard=clock.heard)
        platforms = Platforms(store, {"fake": FakeCompute(self.cloud)})
        steps = Steps(store, platforms, Well(), clock, Failpoints(None))
        self._attempts = StepAttempts(store, steps, clock, max_attempts=MOST)

    async def asks(self, execution_id: str, step: StepName) -> Verdict:
        return (await self._attempts.make(execution_id, step, Probes())).verdict

    async def waits_for(self, execution_id: str, step: StepName) -> str | None:
        found = await executions.get(self.database, execution_id)
        assert found is not None
        return next((one.waits_for for one in found[1] if one.name is step), None)

    async def rewrite(self, execution_id: str, part: str, value: Any) -> None:
        """As the newer release would say it in the row, or this one again."""
        async with self.database.begin() as connection:
            await connection.execute(
                text(
                    "UPDATE executions SET spec = jsonb_set(spec, ARRAY[:part], CAST(:value AS jsonb)) WHERE id = :id"
                ),
                {"part": part, "value": json.dumps(value), "id": execution_id},
            )


async def promoted(database: AsyncEngine) -> str:
    tenant, execution = await create(database, "acme", spec())
    await promote(database, tenant.id, execution.id)
    return execution.id


async def promote(database: AsyncEngine, tenant_id: Any, execution_id: str) -> None:
    fence = await leases.acquire(database, tenant_id, cluster_id="here", actor_id="a")
    assert fence is not None
    assert await OwnedTenant(database, tenant_id, fence, owner="test").promote(execution_id)


UNREADABLE = [
    ("heal", "replace"),
    ("health", {"grpc": {"port": 1}, "interval_seconds": "often"}),
    ("compute", {"provider": "fake", "config": ["a list"]}),
    ("workflow", 7),
]


@pytest.mark.parametrize(("part", "value"), UNREADABLE, ids=[part for part, _ in UNREADABLE])
async def test_nothing_is_made_by_a_spec_that_cannot_be_read(database: AsyncEngine, part: str, value: Any) -> None:
    id, engine = await promoted(database), Engine(database)
    before = spec().canonical()[part]
    await engine.rewrite(id, part, value)
    for step in (StepName.PLAN, StepName.APPLY_COMPUTE):
        for _ in range(MOST + 1):  # it costs no attempt
            assert await engine.asks(id, step) is Verdict.RETRY
        assert await engine.waits_for(id, step) == "NewerRelease"
    assert not engine.cloud.instances()

    await engine.rewrite(id, part, before)  # the newer release is back
    for step in (StepName.PLAN, StepName.APPLY_COMPUTE, StepName.WAIT_HEALTHY):
        assert await engine.asks(id, step) is Verdict.DONE
    assert len(engine.cloud.instances()) == 1


async def test_what_is_there_is_not_found_healthy_by_the_default_of_this_release(database: AsyncEngine) -> None:
    """The newer release had it made. Its probe is one that this release does not know."""
    id, engine = await promoted(database), Engine(database)
    for step in (StepName.PLAN, StepName.APPLY_COMPUTE):
        assert await engine.asks(id, step) is Verdict.DONE
    await engine.rewrite(id, "health", {"grpc": {"port": 1}, "unhealthy_threshold": "few"})
    assert await engine.asks(id, StepName.WAIT_HEALTHY) is Verdict.RETRY
    assert await engine.waits_for(id, StepName.WAIT_HEALTHY) == "NewerRelease"
    async with database.connect() as connection:
        assert (await connection.execute(text("SELECT serving_execution FROM tenants"))).scalar_one() is None


async def test_a_delete_by_such_a_spec_goes_on(database: AsyncEngine) -> None:
    id, engine = await promoted(database), Engine(database)
    for step in (StepName.PLAN, StepName.APPLY_COMPUTE, StepName.WAIT_HEALTHY, StepName.RETIRE_PREVIOUS):
        assert await engine.asks(id, step) is Verdict.DONE
    async with database.begin() as connection:
        await connection.execute(text("UPDATE executions SET state = 'succeeded'"))
    gone = await delete(database, "acme")
    assert gone.action is Action.DELETE
    await engine.rewrite(id, "heal", "replace")
    await engine.rewrite(gone.id, "heal", "replace")
    await promote(database, gone.tenant_id, gone.id)
    for step in (StepName.DESTROY_COMPUTE, StepName.VERIFY_GONE):
        assert await engine.asks(gone.id, step) is Verdict.DONE
    assert not engine.cloud.instances()


def test_what_an_engine_has_kept_of_a_newer_release_is_read() -> None:
    kept = {"attempt": 2, "good": 1, "again": 3.5, "weather": "fine"}
    assert Probes.kept(kept) == Probes(attempt=2, good=1, again=3.5)
