"""What a message says of its execution is compared with the row before anything is done."""

from uuid import uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.clock import SystemClock
from controlplane.errors import Terminal
from controlplane.model import ExecutionState, StepName
from controlplane.persistence import tables
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.ports import StepSignals
from controlplane.steps.attempts import Claims, StepAttempts, Verdict
from controlplane.steps.probes import Probes
from tests.integration.owner import create, spec


class Steps:
    """Counts what it is asked to do."""

    def __init__(self) -> None:
        self.done: list[StepName] = []

    async def run(self, execution_id: str, step: StepName, signals: StepSignals) -> None:
        self.done.append(step)

    async def probe_once(self, execution_id: str, before: Probes) -> Probes:
        self.done.append(StepName.WAIT_HEALTHY)
        return Probes(again=None)


async def test_a_message_about_anything_but_the_row_does_nothing(database: AsyncEngine) -> None:
    tenant, execution = await create(database, "acme", spec())
    id, steps = execution.id, Steps()
    async with database.begin() as connection:
        running = {"state": ExecutionState.RUNNING.value}
        await connection.execute(tables.executions.update().where(tables.executions.c.id == id).values(running))

    def attempts(engine: str) -> StepAttempts:
        store = PostgresExecutionStore(database)
        return StepAttempts(store, steps, SystemClock(), max_attempts=3, engine=engine)

    true = Claims("provision", str(tenant.id))
    wrong = [
        ("embedded", StepName.PLAN, Claims("delete", str(tenant.id))),
        ("embedded", StepName.PLAN, Claims("provision", str(uuid4()))),
        ("embedded", StepName.PLAN, Claims("provision", "")),
        ("stepfunctions", StepName.PLAN, true),
        ("restate", StepName.PLAN, true),
        ("embedded", StepName.DESTROY_COMPUTE, true),
        ("embedded", StepName.DESTROY_COMPUTE, Claims()),
    ]
    for engine, step, claims in wrong:
        with pytest.raises(Terminal):
            await attempts(engine).make(id, step, Probes(), claims)
    async with database.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(tables.steps))).scalar_one() == 0
    assert steps.done == []
    for said in (true, Claims()):
        outcome = await attempts("embedded").make(id, StepName.PLAN, Probes(), said)
        assert outcome.verdict is Verdict.DONE
    assert steps.done == [StepName.PLAN] * 2
