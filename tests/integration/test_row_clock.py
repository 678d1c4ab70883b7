"""Deadlines and pauses are by the database's clock: this machine's may be wrong, or step."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.clock import RowClock, SystemClock
from controlplane.failpoints import Failpoints
from controlplane.model import HealthSpec, StepName
from controlplane.persistence import leases, tables
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.ports import ProbeResult, Resource
from controlplane.steps.attempts import StepAttempts, Verdict
from controlplane.steps.platforms import Platforms
from controlplane.steps.probes import Probes
from controlplane.steps.run import Steps
from providers.compute.fake import FakeCloud, FakeCompute
from tests.integration.owner import create, spec

HOURS = 7200.0


class NeverWell:
    async def probe(self, resource: Resource, health: HealthSpec) -> ProbeResult:
        return ProbeResult(None, "not yet")


@pytest.fixture(params=[-HOURS, HOURS], ids=["behind", "ahead"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], datetime]:
    """This machine's clock, which is two hours off."""
    off = timedelta(seconds=request.param)

    def now(self: Any = None) -> datetime:
        return datetime.now(UTC) + off

    monkeypatch.setattr(SystemClock, "now", now)
    return now


@pytest.mark.usefixtures("machine")
async def test_a_step_keeps_its_deadline_and_its_pauses(database: AsyncEngine) -> None:
    tenant, execution = await create(database, "acme", spec(probe={"deadline_seconds": 30}))
    fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="a")
    assert fence is not None
    assert await OwnedTenant(database, tenant.id, fence, owner="test").promote(execution.id)
    clock = RowClock()
    store = PostgresExecutionStore(database, heard=clock.heard)
    platforms = Platforms(store, {"fake": FakeCompute(FakeCloud())})
    steps = Steps(store, platforms, NeverWell(), clock, Failpoints(None))  # type: ignore[arg-type]
    attempts = StepAttempts(store, steps, clock, max_attempts=3)

    for step in (StepName.PLAN, StepName.APPLY_COMPUTE):
        assert (await attempts.make(execution.id, step, Probes())).verdict is Verdict.DONE
    first = await attempts.make(execution.id, StepName.WAIT_HEALTHY, Probes())
    assert first.verdict is Verdict.AGAIN, "it has just begun"
    async with database.begin() as connection:
        await connection.execute(text("UPDATE steps SET started_at = started_at - interval '60 seconds'"))
    late = await attempts.make(execution.id, StepName.WAIT_HEALTHY, first.probes)
    assert late.verdict is not Verdict.AGAIN
    assert "not healthy after 30 s" in late.message

    async with database.connect() as connection:
        now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    assert abs((clock.now() - now).total_seconds()) < 60


async def test_the_next_attempt_is_at_the_databases_time(
    database: AsyncEngine, machine: Callable[[], datetime]
) -> None:
    tenant, execution = await create(database, "acme", spec())
    fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="a")
    assert fence is not None
    assert await OwnedTenant(database, tenant.id, fence, owner="test").promote(execution.id)
    clock = RowClock()
    store = PostgresExecutionStore(database, heard=clock.heard)
    steps = Steps(store, Platforms(store, {}), NeverWell(), clock, Failpoints(None))  # type: ignore[arg-type]

    async def fails(*_: object) -> None:
        raise RuntimeError("a fault of ours, which is tried again")

    steps.run = fails  # type: ignore[method-assign]
    outcome = await StepAttempts(store, steps, clock, max_attempts=3).make(execution.id, StepName.PLAN, Probes())
    assert outcome.verdict is Verdict.RETRY
    row = tables.steps.c
    query = select(row.next_attempt_at, func.clock_timestamp().label("now")).where(row.execution_id == execution.id)
    async with database.connect() as connection:
        found = (await connection.execute(query)).one()
    assert abs((found.next_attempt_at - found.now).total_seconds()) < 120
    assert abs((machine() - found.now).total_seconds()) > 3600, "which this machine does not know"


def test_before_anything_was_heard_it_is_this_machines_clock() -> None:
    clock = RowClock(step=lambda: HOURS)
    assert abs((clock.now() - datetime.now(UTC)).total_seconds() - HOURS) < 60
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    clock.heard(long_ago)
    assert timedelta(0) <= clock.now() - long_ago < timedelta(minutes=1)
