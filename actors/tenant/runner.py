"""The runner: load rows → pure `reconcile` → at most one action → wait for a wake-up, a child or a timer.

One coroutine per live tenant. Database writes are done here and at once; whatever may take long (an engine's start, a
look, a clean-up) is a chore: a child coroutine, at most one of a kind, that marks the mailbox when it is done. So a
DELETE is seen at once and reads never wait behind work.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from actors.runtime import Runtime
from actors.tenant.follower import Follower
from actors.tenant.health import HealthTracker, Observer
from actors.tenant.mailbox import Mailbox
from controlplane.errors import LandlordError, LeaseLost, ProviderNotEnabled, told
from controlplane.lifecycle import decisions
from controlplane.lifecycle.owner_state import OwnerState, Silence
from controlplane.lifecycle.reconcile import reconcile
from controlplane.lifecycle.transitions import Cause
from controlplane.model import Execution, ExecutionState, Observed, Reason, Status, TenantRows
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.ports import ExecutionInput, RunsInOwner, WorkflowProvider
from controlplane.steps.backoff import Backoff

logger = logging.getLogger(__name__)

STORE_PAUSE = 1.0
"""Seconds before the rows are read again when the database does not answer."""

LOOK_PAUSE = timedelta(seconds=5)
"""After a look that failed: its platform does not answer, or is not enabled here any more."""

CHECKED_AT_SECONDS = 30.0
"""An unchanged healthy finding is written down this often, not at each probe."""

ANSWER_SECONDS = 0.01
"""Who waits for a start is answered, and has the cores for so long, before an engine in this process takes them."""

TRIGGER_BACKOFF = Backoff(base=1.0, ceiling=30.0)


class Runner:
    """Drives one tenant under one lease.

    Promises: acts only on rows read after the last wake-up; writes only under its fence; does not die of an error. It
    ends with `deleted`, `passivated` or `lost` (another owner holds the tenant). What breaks it: nothing but the end
    of its process; then the next owner goes on from the rows.
    """

    def __init__(self, owned: OwnedTenant, runtime: Runtime, mailbox: Mailbox) -> None:
        self._owned = owned
        self._runtime = runtime
        self._mailbox = mailbox
        self._observer = Observer(runtime.upkeep, runtime.prober)
        self._tracker = HealthTracker()
        self._state = OwnerState()
        self._policy = runtime.policy
        self._follower: Follower | None = None
        self._chores: dict[str, asyncio.Task[None]] = {}
        self._trigger_failures = 0
        self._random = Random()

    @property
    def doing(self) -> list[str]:
        """Names of the chores that run now, for people."""
        return sorted(self._chores)

    def hurry(self) -> None:
        """Passivate as soon as there is nothing to do."""
        self._policy = replace(self._policy, idle=0.0)
        self._mailbox.mark_dirty()

    def drain(self) -> None:
        """The cluster is to end: finish what is on, begin nothing, leave."""
        self._state = replace(self._state, draining=True)
        self._mailbox.mark_dirty()

    async def run(self) -> str:
        """Until the tenant is deleted, rests for long, or is lost. Children are stopped on return."""
        try:
            while True:
                try:
                    ended = await self._turn()
                except LeaseLost:
                    return "lost"
                except Exception:
                    logger.exception("tenant %s: a turn failed; going on", self._owned.tenant_id)
                    await self._mailbox.wait(STORE_PAUSE)
                    continue
                if ended is not None:
                    return ended
        finally:
            self._stop_children()

    async def _turn(self) -> str | None:
        """One look at the rows and what follows from it."""
        if self._mailbox.clear():
            self._observer.forget()
            self._state = replace(self._state, finding_due=None)
        rows = await self._owned.load()
        followed = self._follower
        self._state = replace(
            self._state,
            followed=followed.execution_id if followed else None,
            reported=followed.status if followed else None,
            silence=self._silence_of(followed, rows.now),
            worked_at=self._state.worked_at or rows.now,
        )
        decision = reconcile(rows, self._state, self._policy)
        self._mailbox.publish(rows)
        match decision.act:
            case decisions.Leave():
                return "deleted"
            case decisions.Passivate():
                return "passivated" if self._mailbox.close() else None
            case None:
                await self._mailbox.wait(decision.look_again)
            case act:
                if not isinstance(act, decisions.Look):
                    self._state = replace(self._state, worked_at=rows.now)
                await self._do(act, rows)
        return None

    def _silence_of(self, followed: Follower | None, now: datetime) -> Silence | None:
        """By the clock of the rows, from the first look that saw it."""
        if followed is None or followed.silence is None:
            return None
        before = self._state.silence if self._state.followed == followed.execution_id else None
        return Silence(before.since if before else now, followed.silence)

    async def _do(self, act: decisions.Act, rows: TenantRows) -> None:
        own = self._owned
        match act:
            case decisions.Promote(execution):
                if await own.promote(execution.id):
                    starting = replace(execution, state=ExecutionState.STARTING)
                    await self._chore("start", self._start(starting, rows.now))
                    await self._mailbox.wait(None)
            case decisions.Start(execution):
                await self._chore("start", self._start(execution, rows.now))
            case decisions.Follow(execution):
                self._follow(execution, execution.provider_ref)
            case decisions.AdvancePlanned(execution):
                await own.planned(execution.id)
            case decisions.RecordProgress(execution, status):
                await own.progressed(execution.id, status)
            case decisions.Stop(execution, cause, reason):
                if await own.stop(execution.id, cause, reason):
                    await self._chore("cancel", self._cancel(execution, reason, kill=False))
            case decisions.Finish(execution, outcome, message):
                await self._finish(execution, outcome, message)
            case decisions.HandOver(execution, engine, message):
                await self._finish(execution, ExecutionState.FAILED, message, next_engine=engine)
            case decisions.Clean(placements):
                ended = [found for p in placements if (found := rows.find(p.execution_id)) is not None]
                await self._chore("clean", self._clean(ended, rows.now))
            case decisions.Look(execution):
                await self._chore("look", self._look(execution, rows))
            case decisions.RestoreServing(execution):
                await self._chore("restore", self._restore(execution, rows.now))
            case decisions.MarkUnhealthy(message):
                await self._mark(rows, Cause.UNHEALTHY, message, Reason.PROBE_FAILED)
            case decisions.MarkBudgetSpent(message):
                await self._mark(rows, Cause.UNHEALTHY, message, Reason.HEAL_BUDGET)
            case decisions.MarkRecovered():
                await self._mark(rows, Cause.RECOVERED, "", Reason.PROBE)
            case decisions.Heal(reason):
                await own.heal(rows.tenant.epoch, reason, default_workflow=self._runtime.settings.workflow_provider)

    async def _mark(self, rows: TenantRows, cause: Cause, message: str, reason: Reason) -> None:
        observed = replace(rows.tenant.observed, healthy=cause is Cause.RECOVERED, checked_at=rows.now)
        await self._owned.observed(rows.tenant.epoch, observed, cause=cause, message=message, reason=reason)

    # --- chores ---

    async def _chore(self, kind: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin it, unless one of its kind runs: then wait for news instead, since the decision will come again."""
        if kind in self._chores:
            work.close()
            await self._mailbox.wait(None)
            return
        self._chores[kind] = asyncio.create_task(self._see_through(kind, work), name=f"{kind}")

    async def _see_through(self, kind: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except LeaseLost:
            logger.info("lost the lease during %s", kind)
        except LandlordError as error:
            logger.warning("chore %s of tenant %s: %s", kind, self._owned.tenant_id, error)
            await asyncio.sleep(STORE_PAUSE)
        except Exception:
            logger.exception("chore %s failed", kind)
            await asyncio.sleep(STORE_PAUSE)
        finally:
            self._chores.pop(kind, None)
            self._mailbox.mark_dirty()

    def _provider(self, execution: Execution) -> WorkflowProvider:
        enabled = self._runtime.workflow
        if execution.engine not in enabled:
            raise ProviderNotEnabled(
                f"workflow provider {execution.engine!r} is not enabled here", enabled=sorted(enabled)
            )
        return enabled[execution.engine]

    async def _start(self, execution: Execution, now: datetime) -> None:
        try:
            provider = self._provider(execution)
            if isinstance(provider, RunsInOwner) and self._mailbox.started(execution.id):
                await asyncio.sleep(ANSWER_SECONDS)
            started = await provider.start(ExecutionInput.of(execution))
        except Exception as error:
            self._trigger_failures += 1
            message = told(error, "the engine failed")
            again = now + timedelta(seconds=TRIGGER_BACKOFF.bound(self._trigger_failures))
            if execution.state is ExecutionState.STARTING:
                await self._owned.start_failed(execution.id, message, again)
            else:  # its engine had lost it: ask again, and start it later
                self._state = replace(self._state, start_due=again)
                self._follow(execution, execution.provider_ref)
            return
        self._trigger_failures = 0
        self._mailbox.started(execution.id)
        if execution.state is ExecutionState.STARTING:
            await self._owned.running(execution.id, started.ref)
        self._follow(execution, started.ref)

    def _follow(self, execution: Execution, ref: str | None) -> None:
        if self._follower is not None:
            self._follower.stop()
        self._follower = Follower(self._runtime.workflow, execution, ref, self._mailbox.mark_dirty)

    async def _cancel(self, execution: Execution, reason: str, *, kill: bool) -> None:
        await self._provider(execution).cancel(execution.id, execution.provider_ref, reason, kill=kill)

    async def _finish(
        self, execution: Execution, outcome: ExecutionState, message: str, next_engine: str | None = None
    ) -> None:
        await self._owned.finish(execution.id, outcome, message, next_engine=next_engine)
        told_by_engine = self._state.reported is not None and self._state.reported.sub_state.terminal
        if self._follower is not None and self._follower.execution_id == execution.id:
            self._follower.stop()
            self._follower = None
        provider = self._runtime.workflow.get(execution.engine)
        if isinstance(provider, RunsInOwner):
            provider.forget(execution.id)
        elif provider is not None and not told_by_engine:
            await self._chore("kill", self._cancel(execution, message, kill=True))

    async def _clean(self, ended: list[Execution], now: datetime) -> None:
        for execution in ended:
            try:
                await self._runtime.upkeep.clean(execution)
            except LandlordError as error:
                logger.warning("cannot clean up after %s: %s", execution.id, error)
                self._state = replace(self._state, clean_due=now + timedelta(seconds=5))

    async def _look(self, execution: Execution, rows: TenantRows) -> None:
        """Observe, probe, remember; write down what changed."""
        tenant = rows.tenant
        interval = timedelta(seconds=execution.spec.health.interval_seconds)
        self._state = replace(self._state, finding_due=rows.now + interval, look_due=rows.now + LOOK_PAUSE)
        resource, result = await self._observer.look(execution)
        self._state = replace(self._state, look_due=None)
        finding = self._tracker.judge(execution, tenant.epoch, resource, result)
        observed = Observed(
            endpoints=resource.endpoints if resource else (),
            resources=tenant.observed.resources if resource else {},
            healthy=finding.healthy if finding.healthy is not None else tenant.observed.healthy,
            checked_at=rows.now,
        )
        aged = tenant.observed.checked_at is None or (
            (rows.now - tenant.observed.checked_at).total_seconds() > CHECKED_AT_SECONDS
        )
        if aged or replace(observed, checked_at=None) != replace(tenant.observed, checked_at=None):
            await self._owned.observed(tenant.epoch, observed)
        state = replace(self._state, finding=finding, restore_due=None if finding.good else self._state.restore_due)
        if finding.healthy is False or not finding.present:
            state = replace(state, heals=await self._owned.heals_since(self._policy.heal_window))
        elif tenant.status is Status.DEGRADED:
            state = replace(state, degradations=await self._owned.degradations_since(self._policy.heal_window))
        self._state = state

    async def _restore(self, execution: Execution, now: datetime) -> None:
        self._state = replace(
            self._state, finding=None, restore_due=now + timedelta(seconds=execution.spec.health.interval_seconds)
        )
        self._observer.forget()
        await self._runtime.upkeep.restore(execution)

    def _stop_children(self) -> None:
        if self._follower is not None:
            self._follower.stop()
        for task in self._chores.values():
            task.cancel()
