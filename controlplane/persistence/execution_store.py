"""`ports.ExecutionStore` on Postgres: the runners' reads and writes, guarded by their execution's own state.

A runner may live outside any actor and has no fence. If a write depends on being current, it locks the tenant's row
first, so it is ordered with the intents of the API and the owner's writes.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, case, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import Terminal, WaitsFor
from controlplane.model import (
    CURRENT,
    LIVE,
    RELEASED,
    STEPS,
    Action,
    EventType,
    Execution,
    ExecutionState,
    Observed,
    PlacementState,
    Step,
    StepName,
    StepState,
    Tenant,
    TriggerSource,
)
from controlplane.model.tolerance import word
from controlplane.persistence import bootstrap, executions, guarded, rows, snapshot, tables, tenants
from controlplane.persistence.database import single
from controlplane.persistence.driver import Row
from controlplane.persistence.expressions import from_now, is_one_of
from controlplane.persistence.lookups import Lookup
from controlplane.persistence.prepared import Prepared, only
from controlplane.persistence.transaction import Transaction, transaction
from controlplane.ports import RunContext


def _begin(step: StepName) -> Select[Any]:
    """Begins an attempt at a step, if its execution is current and has such a step."""
    known = {action: steps.index(step) for action, steps in STEPS.items() if step in steps}
    values = {
        "execution_id": guarded.LOCKED.c.id,
        "name": step,
        "position": case({action.value: position for action, position in known.items()}, value=guarded.LOCKED.c.action),
        "state": StepState.RUNNING,
        "attempts": 1,
        "started_at": func.clock_timestamp(),
    }
    of_step = tables.steps.c
    # Still `running`: the owner died during the last attempt, so that attempt does not count. Nor does one that found
    # something missing outside.
    again = or_(of_step.state == StepState.RUNNING, of_step.waits_for.is_not(None))
    written = (
        guarded.insert(tables.steps, values, is_one_of(guarded.LOCKED.c.action, known))
        .on_conflict_do_update(
            index_elements=[of_step.execution_id, of_step.name],
            set_={
                "attempts": case((again, of_step.attempts), else_=of_step.attempts + 1),
                "state": StepState.RUNNING,
                "next_attempt_at": None,
                "in_call_to": None,
                "in_call_since": None,
            },
        )
        .returning(tables.steps)
        .cte("written")
    )
    locked = [guarded.LOCKED.c.state.label("locked_state"), guarded.LOCKED.c.action.label("locked_action")]
    return select(*locked, guarded.LOCKED.c.now, written).select_from(guarded.LOCKED.outerjoin(written, true()))


def _succeed(step: StepName) -> Select[Any]:
    """Ends the attempt at a step that runs, if its execution has not ended, and tells it."""
    locked, of_step, execution = guarded.LOCKED.c, tables.steps.c, tables.executions.c
    written = (
        update(tables.steps)
        .where(
            of_step.execution_id == locked.id,
            of_step.name == step,
            of_step.state == StepState.RUNNING,
            ~is_one_of(locked.state, [state for state in ExecutionState if state.terminal]),
        )
        .values(
            state=StepState.SUCCEEDED,
            error=None,
            waits_for=None,
            in_call_to=None,
            in_call_since=None,
            ended_at=func.clock_timestamp(),
        )
        .returning(of_step.execution_id)
        .cte("written")
    )
    # A step has succeeded, so the execution takes no owner down.
    no_crash_loop = (
        update(tables.executions)
        .where(execution.id == written.c.execution_id, execution.activations != 0)
        .values(activations=0)
        .cte("no_crash_loop")
    )
    told = guarded.event(EventType.STEP_SUCCEEDED, {"step": step.value}, written).cte("told")
    return select(locked.now).add_cte(no_crash_loop, told)


def _intend() -> Select[Any]:
    """Records the intent to make a resource, if its execution is current. Made again, a removed one is intended."""
    locked = guarded.LOCKED.c
    values = {
        "execution_id": locked.id,
        "tenant_id": locked.tenant_id,
        "generation": locked.generation,
        "run": locked.run,
        "node": locked.node,
        "state": PlacementState.INTENDED,
        **{name: bindparam(name, type_=tables.placements.c[name].type) for name in ("platform", "platform_identity")},
        "name": bindparam("name", type_=tables.placements.c.name.type),
    }
    written = guarded.insert(tables.placements, values).on_conflict_do_update(
        index_elements=[tables.placements.c.execution_id],
        set_={"state": PlacementState.INTENDED, "removed_at": None},
        where=tables.placements.c.state == PlacementState.REMOVED,
    )
    return select(locked.state, locked.now).add_cte(written.cte("written"))


_BEGIN_STEP = {step: Prepared(_begin(step)) for step in StepName}
_SUCCEED_STEP = {step: Prepared(_succeed(step)) for step in StepName}
_INTEND = Prepared(_intend())
_OF_EXECUTION = tables.executions.c.id == bindparam("key")
_PROVIDERS = Lookup(
    select(tables.placements.c.platform.label("platform"))
    .where(
        tables.placements.c.tenant_id == select(tables.executions.c.tenant_id).where(_OF_EXECUTION).scalar_subquery()
    )
    .distinct()
)
_STATE = Lookup(select(tables.executions.c.state, func.clock_timestamp().label("now")).where(_OF_EXECUTION))
_ACTIVATED = Prepared(
    update(tables.executions)
    .where(_OF_EXECUTION)
    .values(activations=tables.executions.c.activations + 1)
    .returning(tables.executions.c.activations)
)
_PLACEMENT = update(tables.placements).where(
    tables.placements.c.execution_id == bindparam("key"), is_one_of(tables.placements.c.state, LIVE)
)
_PLACED = Prepared(_PLACEMENT.values(resource_id=bindparam("resource"), state=PlacementState.PLACED))
_REMOVED = Prepared(_PLACEMENT.values(state=PlacementState.REMOVED, removed_at=func.clock_timestamp()))


class PostgresExecutionStore:
    """The runners' view of the rows. Keeps no state but the installation id."""

    def __init__(
        self, database: AsyncEngine, *, actor: str = "runner", heard: Callable[[datetime], None] = lambda now: None
    ) -> None:
        """`heard`: called with the database's time whenever rows were read."""
        self._database = database
        self._heard = heard
        self._actor = actor
        self._installation_id: str | None = None

    async def context(self, execution_id: str) -> RunContext:
        if self._installation_id is None:
            self._installation_id = await bootstrap.installation_id(self._database)
        found = await snapshot.of_execution(self._database, execution_id)
        if found is None:
            raise Terminal(f"there is no execution {execution_id!r}", execution_id=execution_id)
        self._heard(found.now)
        execution = found.find(execution_id)
        assert execution is not None, "it was asked for by its id"
        serving = found.tenant.serving_execution
        return RunContext(
            installation_id=self._installation_id,
            tenant=found.tenant,
            execution=execution,
            previous=found.find(serving) if serving != execution_id else None,
            steps=found.steps,
            placements=found.placements,
            nodes=found.nodes,
        )

    async def current(self, execution_id: str) -> bool:
        return await self._state(execution_id) in CURRENT

    async def _state(self, execution_id: str) -> ExecutionState:
        row = only(await _STATE.all(self._database, key=execution_id), f"execution {execution_id!r}")
        self._heard(row["now"])
        return word(ExecutionState, row["state"])

    async def providers_used(self, execution_id: str) -> list[str]:
        return sorted(row["platform"] for row in await _PROVIDERS.all(self._database, key=execution_id))

    async def removable(self, execution_id: str) -> bool:
        query = (
            select(tables.executions.c.state, tables.tenants.c.serving_execution)
            .join(tables.tenants, tables.tenants.c.id == tables.executions.c.tenant_id)
            .where(tables.executions.c.id == execution_id)
        )
        async with single(self._database) as connection:
            row = (await connection.execute(query)).one()
        return row.state in RELEASED and row.serving_execution != execution_id

    async def intend(self, context: RunContext, provider: str, platform_identity: str, name: str) -> bool:
        where = {"platform": provider, "platform_identity": platform_identity, "name": name}
        row = await self._guarded_write(_INTEND, context.execution.id, **where)
        return word(ExecutionState, row["state"]) in CURRENT

    async def placed(self, execution_id: str, resource_id: str) -> None:
        await _PLACED.alone(self._database, key=execution_id, resource=resource_id)

    async def removed(self, execution_id: str) -> None:
        await _REMOVED.alone(self._database, key=execution_id)

    async def abandoned(self, execution_id: str) -> None:
        async with single(self._database) as connection:
            await connection.execute(
                update(tables.placements)
                .where(tables.placements.c.execution_id == execution_id, tables.placements.c.state.in_(LIVE))
                .values(state=PlacementState.ABANDONED)
            )

    async def switch(self, execution_id: str, observed: Observed) -> bool:
        async with self._guarded(execution_id) as (tx, tenant, execution):
            if tenant.serving_execution == execution_id:
                return True
            if execution.state not in CURRENT:
                return False
            if execution.in_place:  # what serves is well again
                await tenants.save(tx.connection, tenant, observed=observed)
                return True
            drain_seconds = execution.spec.health.drain_seconds
            if drain_seconds and execution.trigger_source is not TriggerSource.SUPERVISOR:
                # A heal replaces what is unwell: nobody is served by that.
                until = from_now(drain_seconds)
                execution = await executions.save(tx.connection, execution, drains_until=until)
            tenant = await tenants.save(tx.connection, tenant, serving_execution=execution_id, observed=observed)
            tx.event(EventType.TENANT_SWITCHED, tenant, execution=execution)
        return True

    async def step_started(self, execution_id: str, step: StepName) -> Step | None:
        row = await self._guarded_write(_BEGIN_STEP[step], execution_id)
        if row["execution_id"] is not None:
            return rows.step(row)
        if row["locked_state"] in CURRENT and step not in STEPS[word(Action, row["locked_action"])]:
            raise Terminal(f"{step} is no step of {execution_id}", execution_id=execution_id)
        return None

    async def step_in_call(
        self, execution_id: str, step: StepName, in_call_to: str | None, since: datetime | None
    ) -> None:
        steps, of = tables.steps.c, tables.executions.c
        current = select(of.id).where(of.id == execution_id, of.state.in_(CURRENT))
        async with single(self._database) as connection:
            await connection.execute(
                update(tables.steps)
                .where(
                    steps.execution_id == current.scalar_subquery(),
                    steps.name == step,
                    steps.state == StepState.RUNNING,
                )
                .values(in_call_to=in_call_to, in_call_since=since)
            )

    async def step_succeeded(self, execution_id: str, step: StepName) -> None:
        await self._guarded_write(_SUCCEED_STEP[step], execution_id, actor=self._actor)

    async def step_failed(
        self, execution_id: str, step: StepName, error: str, next_attempt_at: datetime | None
    ) -> None:
        state = StepState.BACKING_OFF if next_attempt_at else StepState.FAILED
        async with self._guarded(execution_id) as (tx, tenant, execution):
            ended = next_attempt_at is None
            saved = await self._save_step(
                tx,
                execution,
                step,
                state=state,
                error=error,
                next_attempt_at=next_attempt_at,
                waits_for=None,
                ended=ended,
            )
            if saved is not None:
                tx.event(EventType.STEP_FAILED, tenant, execution=execution, message=error, data={"step": step.value})

    async def step_waits(
        self, execution_id: str, step: StepName, error: str, next_attempt_at: datetime, waits_for: WaitsFor
    ) -> None:
        async with self._guarded(execution_id) as (tx, tenant, execution):
            before = await self._step(tx, execution, step)
            saved = await self._save_step(
                tx,
                execution,
                step,
                state=StepState.BACKING_OFF,
                error=error,
                next_attempt_at=next_attempt_at,
                waits=tables.steps.c.waits + 1,
                waits_for=waits_for,
            )
            if saved is None:
                return
            if execution.activations:  # its owner has not died, so it is no crash loop
                await executions.save(tx.connection, execution, activations=0)
            if before is None or (before.waits_for, before.error) != (saved.waits_for, saved.error):
                data = {"step": step.value, "reason": waits_for.value}
                tx.event(EventType.STEP_WAITING, tenant, execution=execution, message=error, data=data)

    @staticmethod
    async def _step(tx: Transaction, execution: Execution, step: StepName) -> Step | None:
        query = select(tables.steps).where(tables.steps.c.execution_id == execution.id, tables.steps.c.name == step)
        row = (await tx.connection.execute(query)).mappings().one_or_none()
        return rows.step(row) if row else None

    async def _save_step(
        self, tx: Transaction, execution: Execution, step: StepName, *, ended: bool = False, **values: Any
    ) -> Step | None:
        """Write a step's columns. None: it is no news, because the execution has ended or another runner has reported
        this attempt."""
        if execution.state.terminal:
            return None
        if ended:
            values["ended_at"] = func.clock_timestamp()
        saved = await tx.connection.execute(
            update(tables.steps)
            .where(
                tables.steps.c.execution_id == execution.id,
                tables.steps.c.name == step,
                tables.steps.c.state == StepState.RUNNING,
            )
            .values(in_call_to=None, in_call_since=None, **values)
            .returning(tables.steps)
        )
        row = saved.mappings().one_or_none()
        return rows.step(row) if row else None

    async def activated(self, execution_id: str) -> int:
        found = await _ACTIVATED.alone(self._database, key=execution_id)
        return int(only(found, f"execution {execution_id!r}")["activations"])

    async def _guarded_write(self, statement: Prepared, execution_id: str, **parameters: Any) -> Row:
        """One statement of `guarded` instead of a transaction."""
        row = only(await statement.alone(self._database, key=execution_id, **parameters), f"execution {execution_id!r}")
        self._heard(row["now"])
        return row

    @asynccontextmanager
    async def _guarded(self, execution_id: str) -> AsyncIterator[tuple[Transaction, Tenant, Execution]]:
        """A transaction with the tenant's and the execution's row locked."""
        async with transaction(self._database, actor=self._actor) as tx:
            tenant, execution = await tenants.lock_with_execution(tx, execution_id)
            self._heard(tx.now)
            yield tx, tenant, execution
