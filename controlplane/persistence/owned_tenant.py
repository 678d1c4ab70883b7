"""The writes of a tenant's owner. Each method is one short transaction under the row's lock and the lease's fence.

Raises LeaseLost if another owner took the tenant: touch nothing more, exit. If a method finds that its execution has
moved on, it changes nothing and returns False or None: reload and continue.
"""

from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import LeaseLost
from controlplane.lifecycle.conditions import with_condition, without_condition
from controlplane.lifecycle.transitions import STARTED, Cause
from controlplane.lifecycle.waits import reason_of
from controlplane.model import (
    CURRENT,
    ENDED,
    Action,
    ConditionType,
    EventType,
    Execution,
    ExecutionState,
    Observed,
    Reason,
    Status,
    Step,
    StopCause,
    SubState,
    TenantRows,
    TriggerSource,
)
from controlplane.persistence import endings, executions, intents, leases, snapshot, tables, tenants
from controlplane.persistence.database import single
from controlplane.persistence.drafts import Overtaken, Seen
from controlplane.persistence.expressions import ago
from controlplane.persistence.held import Held, draft, hold
from controlplane.ports import ExecutionStatus

P = ParamSpec("P")
R = TypeVar("R")


def _done_again(
    method: Callable[Concatenate["OwnedTenant", P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate["OwnedTenant", P], Coroutine[Any, Any, R]]:
    """Called once more, with the rows locked, if its draft was not written."""

    @wraps(method)
    async def call(own: "OwnedTenant", /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(own, *args, **kwargs)
        except Overtaken:
            own._seen = None  # the owner may have read them again meanwhile, before the change that overtook the draft
            return await method(own, *args, **kwargs)

    return call


RECENT_EVENTS = 500
"""Of a tenant: its newest ones, in which its degradations of the last minutes are looked for."""


class OwnedTenant:
    """The guarded writes of one lease: (tenant, fence). All its changes are recorded as made by `owner`."""

    def __init__(self, database: AsyncEngine, tenant_id: UUID, fence: int, owner: str) -> None:
        self.tenant_id = tenant_id
        self.fence = fence
        self._database = database
        self._owner = owner
        self._seen: Seen | None = None
        """The rows as this owner knows them, if it does."""

    async def load(self) -> TenantRows:
        """The rows to decide on. Raises LeaseLost if the row is gone or another owner has it."""
        seen = self._seen = await snapshot.load(self._database, self.tenant_id)
        if seen is None or seen.rows.tenant.fence != self.fence:
            raise LeaseLost(f"another owner has tenant {self.tenant_id}", fence=self.fence)
        return seen.rows

    def _held(self) -> AbstractAsyncContextManager[Held]:
        return hold(self._database, self.tenant_id, self.fence, self._owner)

    @asynccontextmanager
    async def _drafted(self, *, unless_paused: bool = False) -> AsyncIterator[Held]:
        """As `_held`, and without a lock if the rows were just read. For methods that are `_done_again`.
        `unless_paused`: see `Draft`."""
        seen, self._seen = self._seen, None
        if seen is None:
            async with self._held() as held:
                yield held
            return
        held = draft(seen, self._owner, unless_paused=unless_paused)
        yield held
        self._seen = await held.write(self._database, self.fence)

    @_done_again
    async def promote(self, execution_id: str) -> bool:
        """queued → starting: from now on an engine may know the execution. Moves the status, except for the heal of an
        older generation: that tenant is `degraded` until the generation serves again. Also False if the tenant was
        paused in between.

        The unique index guarantees that no other execution is active."""
        async with self._drafted(unless_paused=True) as held:
            if held.tenant.paused or held.tenant.pause:
                return False
            execution = await executions.advance(
                held.connection,
                execution_id,
                ExecutionState.QUEUED,
                state=ExecutionState.STARTING,
                started_at=func.clock_timestamp(),
                next_attempt_at=None,
            )
            if execution is None:
                return False
            epoch = held.tenant.epoch + 1
            if endings.is_newest(held.tenant, execution):
                tenant = await tenants.change_status(
                    held.tx,
                    held.tenant,
                    STARTED[execution.action],
                    execution=execution,
                    condition=(ConditionType.TRIGGERED, "unknown", Reason.STARTING),
                    epoch=epoch,
                )
            else:
                tenant = await tenants.save(held.connection, held.tenant, epoch=epoch)
            held.tx.event(EventType.EXECUTION_STARTING, tenant, execution=execution)
        return True

    @_done_again
    async def running(self, execution_id: str, provider_ref: str | None, *, already: bool = False) -> bool:
        """starting → running: the engine has it. `already`: the engine knew it from a start whose answer was lost."""
        async with self._drafted() as held:
            execution = await executions.advance(
                held.connection,
                execution_id,
                ExecutionState.STARTING,
                state=ExecutionState.RUNNING,
                sub_state=SubState.RUNNING,
                provider_ref=provider_ref,
                error=None,
                next_attempt_at=None,
            )
            if execution is None:
                return False
            tenant = await held.set_condition(ConditionType.TRIGGERED, "true", Reason.STARTED)
            held.tx.event(EventType.EXECUTION_RUNNING, tenant, execution=execution, data={"already": already})
        return True

    async def start_failed(self, execution_id: str, message: str, retry_at: datetime) -> bool:
        """The engine refused or is down. The execution stays `starting`, and the same id is started again at
        `retry_at`."""
        async with self._held() as held:
            execution = await executions.advance(
                held.connection, execution_id, ExecutionState.STARTING, error=message, next_attempt_at=retry_at
            )
            if execution is None:
                return False
            tenant = await held.set_condition(ConditionType.TRIGGERED, "false", Reason.TRIGGER_FAILED, message)
            held.tx.event(EventType.EXECUTION_TRIGGER_FAILED, tenant, execution=execution, message=message)
        return True

    @_done_again
    async def planned(self, execution_id: str) -> bool:
        """The plan step of a first provision has succeeded: planning → provisioning."""
        async with self._drafted() as held:
            execution = await executions.lock(held.connection, execution_id)
            if execution is None or not execution.state.active or held.tenant.status is not Status.PLANNING:
                return False
            await tenants.change_status(held.tx, held.tenant, Cause.PLANNED, execution=execution)
        return True

    @_done_again
    async def progressed(self, execution_id: str, status: ExecutionStatus) -> bool:
        """Store the engine's report on a live execution: sub-state, retries, error, next attempt."""
        async with self._drafted() as held:
            execution = await executions.lock(held.connection, execution_id)
            if execution is None or not execution.state.active:
                return False
            waits = any(condition.type == ConditionType.WAITING for condition in held.tenant.conditions)
            changed = execution.sub_state is not status.sub_state or bool(status.error)
            if waits:  # it tries again and again, maybe for hours: only another error is news
                changed = execution.error != status.error
            execution = await executions.save(
                held.connection,
                execution,
                sub_state=status.sub_state,
                retry_count=status.retry_count,
                error=status.error,
                next_attempt_at=status.next_attempt_at,
            )
            if changed:
                held.tx.event(
                    EventType.EXECUTION_PROGRESS,
                    held.tenant,
                    execution=execution,
                    message=status.error or "",
                    data={"sub_state": status.sub_state.value, "retry_count": status.retry_count},
                )
        return True

    async def tell_wait(self, execution_id: str, step: Step | None) -> bool:
        """Say by a condition for what a step of the active execution waits. None: it waits for nothing any more."""
        async with self._held() as held:
            execution = await executions.lock(held.connection, execution_id)
            if execution is None or not execution.state.active:
                return False
            if step is None:
                kept = without_condition(held.tenant.conditions, ConditionType.WAITING)
                await tenants.save(held.connection, held.tenant, conditions=kept)
            else:
                await held.set_condition(ConditionType.WAITING, "true", reason_of(step), step.error or "")
        return True

    async def tell_lost(self, execution_id: str, message: str) -> bool:
        """Say by a condition that an unfinished execution waits for a machine that does not answer."""
        async with self._held() as held:
            execution = await executions.lock(held.connection, execution_id)
            if execution is None or execution.state.terminal:
                return False
            await held.set_condition(ConditionType.WAITING, "true", Reason.NODE_LOST, message)
        return True

    async def place_again(self, execution_id: str, node: str) -> bool:
        """Another node for an execution that no engine has met yet."""
        async with self._held() as held:
            moved = await executions.advance(held.connection, execution_id, ExecutionState.QUEUED, node=node)
        return moved is not None

    async def run_elsewhere(self, execution_id: str, reason: str, without: Collection[str]) -> bool:
        """Queue the next run of the newest execution, which is under way, on none of the nodes `without`. False: it has
        ended, serves, or a newer one waits."""
        async with self._held() as held:
            tenant = held.tenant
            execution = await executions.lock(held.connection, execution_id)
            if execution is None or execution.state not in CURRENT or tenant.newest_execution != execution_id:
                return False
            if tenant.serving_execution == execution_id:
                return False
            if await executions.find_queued(held.connection, tenant.id) is not None:
                return False
            following = await executions.add(
                held.connection,
                tenant,
                execution.action,
                run=await executions.next_run(held.connection, tenant.id, execution.generation),
                trigger_source=TriggerSource.SUPERVISOR,
                engine=execution.engine,
                again=execution,
                fresh=execution.fresh,
                request_id=execution.request_id,
                without=without,
            )
            tenant = await tenants.save(held.connection, tenant, newest_execution=following.id, epoch=tenant.epoch + 1)
            held.tx.event(EventType.EXECUTION_QUEUED, tenant, execution=following, message=reason)
        return True

    async def stop(self, execution_id: str, cause: StopCause, reason: str) -> bool:
        """starting or running → stopping: the gate closes. False after the switch: the execution can only succeed."""
        async with self._held() as held:
            if held.tenant.serving_execution == execution_id:
                return False
            execution = await executions.advance(
                held.connection,
                execution_id,
                *CURRENT,
                state=ExecutionState.STOPPING,
                stop_cause=cause,
                stop_reason=reason,
                stop_requested_at=func.clock_timestamp(),
            )
            if execution is None:
                return False
            held.tx.event(EventType.EXECUTION_STOPPING, held.tenant, execution=execution, message=reason)
        return True

    @_done_again
    async def finish(
        self, execution_id: str, outcome: ExecutionState, message: str = "", *, next_engine: str | None = None
    ) -> ExecutionState | None:
        """End an active or queued execution. Returns how it ended, None if nothing was written.

        None: it had ended before; or it has switched since it was decided that it fails: it can only succeed, and what
        it replaced is to be removed first, so its owner decides again. A delete that failed is followed by its next
        run, on `next_engine` if that is given; only the tenant's own generation reaches `ready`."""
        async with self._drafted() as held:
            execution = await executions.lock(held.connection, execution_id)
            if execution is None or execution.state.terminal:
                return None
            if held.tenant.serving_execution == execution_id and outcome is not ExecutionState.SUCCEEDED:
                return None
            successor = await executions.find_queued(held.connection, self.tenant_id)
            if successor is not None and successor.id == execution_id:
                successor = None
            values: dict[str, Any] = (
                {"superseded_by": successor.id} if (outcome is ExecutionState.SUPERSEDED and successor) else {}
            )
            execution = await executions.save(
                held.connection,
                execution,
                state=outcome,
                sub_state=_ENDED_AS.get(outcome, SubState.CANCELLED),
                error=message or None,
                next_attempt_at=None,
                ended_at=func.clock_timestamp(),
                **values,
            )
            tenant = await endings.settle(held.tx, held.tenant, execution, message, next_engine or execution.engine)
            held.tx.event(ENDED[outcome], tenant, execution=execution, message=message, data=values)
        return outcome

    async def observed(
        self,
        epoch: int,
        observed: Observed,
        *,
        cause: Cause | None = None,
        message: str = "",
        reason: Reason = Reason.PROBE_FAILED,
    ) -> bool:
        """Record a probe of the resting tenant. With `cause` (UNHEALTHY, RECOVERED, KEPT), move the status by it.

        False: the probe is void, since an execution was queued, promoted or ended after it began (`epoch` moved)."""
        async with self._held() as held:
            if held.tenant.epoch != epoch:
                return False
            if cause is None:
                await tenants.save(held.connection, held.tenant, observed=observed)
                return True
            tenant, now, unwell = held.tenant, held.tx.now, cause is Cause.UNHEALTHY
            conditions = with_condition(
                tenant.conditions,
                ConditionType.HEALTHY,
                "false" if unwell else "true",
                reason if unwell else Reason.PROBE,
                now,
                message if unwell else "",
            )
            if cause is Cause.RECOVERED:  # also after a failed heal: its goal is reached
                conditions = with_condition(conditions, ConditionType.PROVISIONED, "true", Reason.SUCCEEDED, now)
            await tenants.change_status(
                held.tx, tenant, cause, message=message, conditions=conditions, observed=observed
            )
        return True

    async def heal(
        self,
        epoch: int,
        serving: Execution,
        reason: str,
        *,
        default_workflow: str,
        without: Collection[str] = (),
    ) -> Execution | None:
        """Queue the next run of the serving generation, from its own snapshot; on none of the nodes `without`. If that
        is not the newest generation, the newest execution stays unchanged. None: void (see `observed`)."""
        async with self._held() as held:
            if held.tenant.epoch != epoch:
                return None
            tenant = held.tenant
            run = await executions.next_run(held.connection, tenant.id, serving.generation)
            execution = await executions.add(
                held.connection,
                tenant,
                Action.UPDATE,
                run=run,
                trigger_source=TriggerSource.SUPERVISOR,
                engine=intents.workflow_of(serving.spec, default_workflow),
                again=serving,
                without=without,
            )
            tenant = await tenants.change_status(
                held.tx,
                tenant,
                Cause.UNHEALTHY,
                execution=execution,
                message=reason,
                condition=(ConditionType.HEALTHY, "false", Reason.NODE_LOST if without else Reason.DRIFTED),
                newest_execution=execution.id if endings.is_newest(tenant, execution) else tenant.newest_execution,
                epoch=tenant.epoch + 1,
            )
            held.tx.event(EventType.TENANT_HEALING, tenant, execution=execution, message=reason)
            return execution

    async def release(self, wake_in: float | None) -> None:
        """Give the lease back; see `leases.release`."""
        await leases.release(self._database, self.tenant_id, self.fence, wake_in=wake_in)

    async def give_up(self, at: str) -> float | None:
        """Give the lease back because turns fail; see `leases.give_up`."""
        return await leases.give_up(self._database, self.tenant_id, self.fence, at=at)

    async def fails(self, reason: Reason, message: str) -> None:
        """Tell that its owner leaves and comes back later. `message`: why, without foreign secrets."""
        async with self._held() as held:
            await held.set_condition(ConditionType.RECONCILED, "false", reason, message)

    async def fails_no_more(self) -> None:
        """What made its owners leave has succeeded."""
        async with self._held() as held:
            now = held.tx.now
            conditions = with_condition(
                held.tenant.conditions, ConditionType.RECONCILED, "true", Reason.TURN_SUCCEEDS, now
            )
            await tenants.save(held.connection, held.tenant, conditions=conditions, departures=0, failing_at=None)

    async def heals_since(self, seconds: float) -> int:
        """The number of heals begun in the last `seconds` (the budget)."""
        query = select(func.count()).where(
            tables.executions.c.tenant_id == self.tenant_id,
            tables.executions.c.trigger_source == TriggerSource.SUPERVISOR,
            tables.executions.c.action == Action.UPDATE,
            tables.executions.c.created_at > ago(seconds),
        )
        return await self._count(query)

    async def degradations_since(self, seconds: float) -> int:
        """The number of times that the tenant became degraded in the last `seconds` (the damping of flapping)."""
        trail = tables.events.c
        newest = select(trail.type, trail.status, trail.at).where(trail.tenant_id == self.tenant_id)
        looked_at = newest.order_by(trail.id.desc()).limit(RECENT_EVENTS).subquery()
        query = select(func.count()).where(
            looked_at.c.type == EventType.TENANT_STATUS,
            looked_at.c.status == Status.DEGRADED,
            looked_at.c.at > ago(seconds),
        )
        return await self._count(query)

    async def _count(self, query: Select[Any]) -> int:
        async with single(self._database) as connection:
            return int((await connection.execute(query)).scalar_one())


_ENDED_AS = {ExecutionState.SUCCEEDED: SubState.SUCCEEDED, ExecutionState.FAILED: SubState.FAILED}
