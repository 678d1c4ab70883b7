"""The guards that the model writes again are those of the SQL: random walks through both, row by row the same."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import InvalidTransition, LeaseLost, Refused
from controlplane.lifecycle.transitions import Cause
from controlplane.model import Action, ComputeSpec, ExecutionState, Observed, StepName, StopCause, TenantSpec
from controlplane.persistence import fleet, intents, leases, pauses, tables, tenants
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.persistence.transaction import Transaction, transaction
from tests.model import intents as model_intents
from tests.model import owned_tenant
from tests.model.case import Case
from tests.model.environment import Environment
from tests.model.runners import Runners
from tests.model.world import LIVES, NAME, Budget, Runner, World

STEPS = 60
Rows = tuple[Any, ...]


@dataclass(frozen=True)
class Write:
    """One thing that both may do. `model` returns the world after it and what it answers; None: refused."""

    label: str
    model: Callable[[World], tuple[World, Any] | None]
    real: Callable[[], Awaitable[Any]]


class Both:
    """One tenant in the model and in Postgres."""

    def __init__(self, database: AsyncEngine) -> None:
        case = Case("both", Budget())
        self.binding = case.binding()
        self.runners = Runners(case, self.binding)
        self.environment = Environment(case, self.binding, self.runners)
        self.world = case.begin(self.binding)
        self.database = database
        self.store = PostgresExecutionStore(database)
        self.owner: OwnedTenant | None = None

    async def begin(self) -> None:
        async with transaction(self.database) as tx:
            await intents.create(
                tx,
                name=NAME,
                labels={},
                annotations={},
                spec=_spec(1),
                default_workflow="embedded",
                tenant_id=LIVES[0],
            )
        await self.acquire()

    async def acquire(self) -> bool:
        fence = await leases.acquire(self.database, LIVES[0], cluster_id="here", actor_id="a")
        assert fence is not None
        self.owner = OwnedTenant(self.database, LIVES[0], fence, owner="test")
        return True

    async def read(self) -> None:
        assert self.owner is not None
        with suppress(LeaseLost):
            await self.owner.load()

    # --- what may be done ---

    def writes(self) -> Iterator[Write]:
        yield from self._asked()
        for execution in self.world.executions:
            yield from self._owned(execution.id)
            if execution.action is not Action.DELETE:
                yield from self._run(execution.id)

    def _asked(self) -> Iterator[Write]:
        binding, world = self.binding, self.world
        next_spec = _spec(world.tenant.generation + 1)

        async def patch(tx: Transaction, tenant: Any) -> None:
            await intents.patch(tx, tenant, spec=next_spec, labels={}, annotations={}, default_workflow="embedded")

        async def delete(tx: Transaction, tenant: Any) -> None:
            await intents.delete(tx, tenant, default_workflow="embedded")

        async def retry(tx: Transaction, tenant: Any) -> None:
            await intents.retry(tx, tenant, default_workflow="embedded")

        yield self._intent("patch", lambda w: model_intents.patch(w, binding), patch)
        yield self._intent("delete", lambda w: model_intents.delete(w, binding), delete)
        yield self._intent("retry", lambda w: model_intents.retry(w, binding), retry)
        if not world.tenant.deleted:  # the API answers 410 by then
            yield self._intent("pause", model_intents.pause, pauses.pause)
            yield self._intent("resume", model_intents.resume, pauses.resume)
            yield self._intent("force", model_intents.force_delete, intents.force_delete)
        for one in world.executions:
            yield self._cancel(one.id)
        if not world.tenant.deleted:
            yield Write("acquire", lambda w: _answered(owned_tenant.acquire(w, binding, 0)), self.acquire)

    def _intent(
        self, label: str, model: Callable[[World], World | None], real: Callable[[Transaction, Any], Awaitable[Any]]
    ) -> Write:
        async def ask() -> bool:
            async with transaction(self.database) as tx:
                tenant = await tenants.lock_by_name(tx, NAME)
                assert tenant is not None
                await real(tx, tenant)
            return True

        return Write(label, lambda w: _answered(model(w)), ask)

    def _cancel(self, id: str) -> Write:
        async def cancel(tx: Transaction, tenant: Any) -> None:
            execution = (await self.store.context(id)).execution
            await intents.cancel(tx, tenant, execution)

        return self._intent(f"cancel {id}", lambda w: model_intents.cancel(w, w.of(id)), cancel)

    def _owned(self, id: str) -> Iterator[Write]:
        binding, real = self.binding, self.owner
        assert real is not None
        yield self._fenced(f"promote {id}", lambda w: owned_tenant.promote(w, binding, id), lambda: real.promote(id))
        yield self._fenced(f"running {id}", lambda w: owned_tenant.running(w, id), lambda: real.running(id, "ref"))
        for cause in StopCause:
            yield self._fenced(
                f"stop {id} {cause}",
                lambda w, cause=cause: owned_tenant.stop(w, binding, id, cause),  # type: ignore[misc]
                lambda cause=cause: real.stop(id, cause, "why"),  # type: ignore[misc]
            )
        for outcome in (state for state in ExecutionState if state.terminal):
            yield self._fenced(
                f"finish {id} {outcome}",
                lambda w, outcome=outcome: owned_tenant.finish(w, binding, id, outcome),  # type: ignore[misc]
                lambda outcome=outcome: real.finish(id, outcome, "why"),  # type: ignore[misc]
            )
        for fresh in (True, False):
            if self.world.tenant.serving is not None:
                yield self._fenced(
                    f"heal {fresh}",
                    lambda w, fresh=fresh: owned_tenant.heal(w, binding, fresh=fresh),  # type: ignore[misc]
                    lambda fresh=fresh: self._heal(real, fresh),  # type: ignore[misc]
                )
            for cause in (Cause.UNHEALTHY, Cause.RECOVERED, Cause.KEPT):
                yield self._fenced(
                    f"{cause} {fresh}",
                    lambda w, c=cause, fresh=fresh: owned_tenant.observed(w, binding, c, fresh=fresh),  # type: ignore[misc]
                    lambda c=cause, fresh=fresh: self._observed(real, c, fresh),  # type: ignore[misc]
                )

    def _fenced(self, label: str, model: Callable[[World], World | None], real: Callable[[], Awaitable[Any]]) -> Write:
        """Nothing, once the fence is another's."""

        def guarded(world: World) -> tuple[World, Any] | None:
            return None if world.owner is None else _answered(model(world))

        return Write(label, guarded, real)

    async def _heal(self, real: OwnedTenant, fresh: bool) -> Any:
        serving = (await real.load()).serving
        assert serving is not None
        return await real.heal(await self._epoch(fresh), serving, "why", default_workflow="embedded")

    async def _observed(self, real: OwnedTenant, cause: Cause, fresh: bool) -> Any:
        return await real.observed(await self._epoch(fresh), Observed(), cause=cause)

    async def _epoch(self, fresh: bool) -> int:
        async with self.database.connect() as connection:
            epoch = (await connection.execute(select(tables.tenants.c.epoch))).scalar_one()
        return int(epoch) - (0 if fresh else 1)

    def _run(self, id: str) -> Iterator[Write]:
        """What runners write: the very functions that answer their calls in the model."""
        runner = Runner(id, 0, self.binding.begin(id, StepName.APPLY_COMPUTE))
        runners, store = self.runners, self.store

        def answered(answer: Callable[..., tuple[Any, World]], *more: str) -> Callable[[World], tuple[World, Any]]:
            def model(world: World) -> tuple[World, Any]:
                said, after = answer(world, runner, id, *more)
                return after, said

            return model

        async def intend() -> bool:
            return await store.intend(await store.context(id), "fake", "cloud", "name")

        yield Write(f"intend {id}", answered(runners._intend), intend)
        yield Write(f"placed {id}", answered(runners._placed, "made"), lambda: store.placed(id, "made"))
        yield Write(f"removed {id}", answered(runners._removed), lambda: store.removed(id))
        yield Write(f"switch {id}", answered(runners._switch), lambda: store.switch(id, Observed()))
        yield Write(
            f"begin a step of {id}",
            answered(runners._step_started),
            lambda: store.step_started(id, StepName.APPLY_COMPUTE),
        )
        yield Write(f"removable {id}", answered(runners._removable), lambda: store.removable(id))
        yield Write(f"gate {id}", lambda w: (w, runners._passes(w, runner)), lambda: store.current(id))
        yield Write(f"leftover {id}", lambda w: (w, self.environment._leftover(w, id)), lambda: self._leftover(id))

    async def _leftover(self, id: str) -> bool:
        return (await fleet.facts(self.database, {id}))[id].sweepable

    # --- what is there ---

    def model_rows(self) -> Rows:
        tenant = self.world.tenant
        return (
            (tenant.generation, tenant.observed, tenant.status, tenant.deleting, tenant.deleted, tenant.paused),
            (tenant.serving, tenant.current),
            [(e.id, e.action, e.state, e.cause, e.cancel) for e in self.world.executions],
            sorted((p.execution, p.state, p.resource) for p in self.world.placements),
        )

    async def real_rows(self) -> Rows:
        async with self.database.connect() as connection:
            t = (await connection.execute(select(tables.tenants))).one()
            by_order = tables.executions.select().order_by(tables.executions.c.generation, tables.executions.c.run)
            all_executions = (await connection.execute(by_order)).all()
            all_placements = (await connection.execute(select(tables.placements))).all()
        deleting, deleted = t.deletion_requested_at is not None, t.deleted_at is not None
        return (
            (t.generation, t.observed_generation, t.status, deleting, deleted, t.paused),
            (t.serving_execution, t.newest_execution),
            [(e.id, e.action, e.state, e.stop_cause, e.cancel_requested_at is not None) for e in all_executions],
            sorted((p.execution_id, p.state, p.resource_id) for p in all_placements),
        )


@pytest.mark.parametrize(("seed", "reads"), [*((seed, 0.0) for seed in range(5)), *((seed, 0.6) for seed in range(5))])
async def test_the_models_guards_are_those_of_the_rows(database: AsyncEngine, seed: int, reads: float) -> None:
    """`reads`: how often the owner has just read the rows, on which it then drafts; else they may be old by now."""
    random, reading, both = Random(seed), Random(seed), Both(database)
    await both.begin()
    done: list[str] = []
    for _ in range(STEPS):
        if reading.random() < reads:
            await both.read()
        write = _choose(random, both)
        done.append(write.label)
        expected = _modelled(write, both.world)
        try:
            answer = await write.real()
        except (Refused, InvalidTransition, LeaseLost, IntegrityError):
            answer = None
        if expected is None:
            assert not answer or write.label.startswith(("cancel", "resume", "pause")), done
        else:
            both.world, said = expected
            assert bool(answer) == bool(said), done
        assert await both.real_rows() == both.model_rows(), done
    assert len(set(done)) > STEPS / 4, "it did nothing"


def _choose(random: Random, both: Both) -> Write:
    """One that changes something, most of the time; ends of life seldom."""
    writes = list(both.writes())
    if random.random() < 0.7:
        writes = [w for w in writes if (after := _modelled(w, both.world)) and after[0] != both.world] or writes
    if random.random() < 0.9:
        writes = [w for w in writes if w.label not in ("delete", "force") and not _ends(w.label)] or writes
    return random.choice(writes)


def _ends(label: str) -> bool:
    """A delete that succeeds."""
    return label.startswith("finish") and "-delete-" in label and label.endswith("succeeded")


def _modelled(write: Write, world: World) -> tuple[World, Any] | None:
    try:
        return write.model(world)
    except InvalidTransition:
        return None


def _answered(after: World | None) -> tuple[World, Any] | None:
    return None if after is None else (after, True)


def _spec(version: int) -> TenantSpec:
    return TenantSpec(compute=ComputeSpec(provider="fake", config={"version": version}))
