"""The runner: load rows → pure `reconcile` → at most one action → wait for a wake-up, a child or a timer.

One coroutine per live tenant. It does database writes itself and at once. Work that may take long (an engine's start, a
look, a clean-up) is a chore: a child coroutine, at most one of a kind, that marks the mailbox when it is done. So a
DELETE is seen at once, and reads never wait behind work.
"""

import logging
from dataclasses import replace
from datetime import datetime
from typing import Any

from actors.runtime import Runtime
from actors.tenant.chores import Chores
from actors.tenant.follower import Follower
from actors.tenant.mailbox import Mailbox
from controlplane.errors import LeaseLost
from controlplane.lifecycle import decisions
from controlplane.lifecycle.owner_state import OwnerState, Silence
from controlplane.lifecycle.reconcile import reconcile
from controlplane.lifecycle.transitions import Cause
from controlplane.model import Execution, ExecutionState, Reason, TenantRows
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.ports import RunsInOwner

logger = logging.getLogger(__name__)

STORE_PAUSE = 1.0
"""Seconds before the rows are read again when the database does not answer."""


class Runner:
    """Drives one tenant under one lease.

    Promises: acts only on rows read after the last wake-up; writes only under its fence; does not die of an error. It
    ends with `deleted`, `passivated` or `lost` (another owner holds the tenant). Only the end of its process breaks it;
    then the next owner continues from the rows.
    """

    def __init__(self, owned: OwnedTenant, runtime: Runtime, mailbox: Mailbox) -> None:
        self._owned = owned
        self._runtime = runtime
        self._mailbox = mailbox
        self._state = OwnerState()
        self._policy = runtime.policy
        self.wake_in: float | None = None
        """Once it has passivated: seconds until its tenant is due again. None: only when a client wants something of
        it."""
        self._chores = Chores(owned, runtime, mailbox, self._note)

    @property
    def doing(self) -> list[str]:
        """Names of the chores that run now, for people."""
        return self._chores.doing

    def hurry(self) -> None:
        """Other tenants want its place: passivate as soon as there is nothing to do but to wait."""
        self._policy = replace(self._policy, idle=0.0)
        self._note(hurried=True)
        self._mailbox.mark_dirty()

    def drain(self) -> None:
        """The cluster drains: finish running work, begin nothing, leave."""
        self._note(draining=True)
        self._mailbox.mark_dirty()

    async def run(self) -> str:
        """Run until the tenant is deleted, rests for long, or is lost. Children are stopped on return."""
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
            self._chores.stop()

    async def _turn(self) -> str | None:
        """One look at the rows, and the action that follows."""
        if self._mailbox.clear():
            self._chores.forget_look()
            self._note(finding_due=None)
        rows = await self._owned.load()
        followed = self._chores.follower
        self._note(
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
            case decisions.Passivate(wake_in):
                self.wake_in = wake_in
                return "passivated" if self._mailbox.close() else None
            case None:
                await self._mailbox.wait(decision.look_again)
            case act:
                if not isinstance(act, decisions.Look):
                    self._note(worked_at=rows.now)
                await self._do(act, rows)
        return None

    def _note(self, **changes: Any) -> None:
        """Set fields of the state by their names. The state is remembered from turn to turn, besides the rows."""
        self._state = replace(self._state, **changes)

    def _silence_of(self, followed: Follower | None, now: datetime) -> Silence | None:
        """The silence of its engine by the clock of the rows, from the first look that saw it."""
        if followed is None or followed.silence is None:
            return None
        before = self._state.silence if self._state.followed == followed.execution_id else None
        return Silence(before.since if before else now, followed.silence)

    async def _do(self, act: decisions.Act, rows: TenantRows) -> None:
        own, chores = self._owned, self._chores
        match act:
            case decisions.Promote(execution):
                if await own.promote(execution.id):
                    starting = replace(execution, state=ExecutionState.STARTING)
                    await chores.begin("start", chores.start(starting, rows.now))
                    await self._mailbox.wait(None)
            case decisions.Start(execution):
                await chores.begin("start", chores.start(execution, rows.now))
            case decisions.Follow(execution):
                chores.follow(execution, execution.provider_ref)
            case decisions.AdvancePlanned(execution):
                await own.planned(execution.id)
            case decisions.RecordProgress(execution, status):
                await own.progressed(execution.id, status)
            case decisions.Stop(execution, cause, reason):
                if await own.stop(execution.id, cause, reason):
                    await chores.begin("cancel", chores.cancel(execution, reason, kill=False))
            case decisions.Finish(execution, outcome, message):
                await self._finish(execution, outcome, message)
            case decisions.HandOver(execution, engine, message):
                await self._finish(execution, ExecutionState.FAILED, message, next_engine=engine)
            case decisions.Clean(placements):
                ended = [found for p in placements if (found := rows.find(p.execution_id)) is not None]
                await chores.begin("clean", chores.clean(ended, rows.now))
            case decisions.Look(execution):
                await chores.begin("look", chores.look(execution, rows))
            case decisions.RestoreServing(execution):
                await chores.begin("restore", chores.restore(execution, rows.now))
            case decisions.MarkUnhealthy(message):
                await self._mark(rows, Cause.UNHEALTHY, message, Reason.PROBE_FAILED)
            case decisions.MarkBudgetSpent(message):
                await self._mark(rows, Cause.UNHEALTHY, message, Reason.HEAL_BUDGET)
            case decisions.MarkRecovered():
                await self._mark(rows, Cause.RECOVERED, "", Reason.PROBE)
            case decisions.MarkKept(message):
                await self._mark(rows, Cause.KEPT, message, Reason.PROBE)
            case decisions.Heal(serving, reason):
                engine = self._runtime.settings.workflow_provider
                await own.heal(rows.tenant.epoch, serving, reason, default_workflow=engine)

    async def _mark(self, rows: TenantRows, cause: Cause, message: str, reason: Reason) -> None:
        observed = replace(rows.tenant.observed, healthy=cause is not Cause.UNHEALTHY, checked_at=rows.now)
        await self._owned.observed(rows.tenant.epoch, observed, cause=cause, message=message, reason=reason)

    async def _finish(
        self, execution: Execution, outcome: ExecutionState, message: str, next_engine: str | None = None
    ) -> None:
        ended = await self._owned.finish(execution.id, outcome, message, next_engine=next_engine)
        if ended is None:
            return  # the rows have moved on: decide again
        told_by_engine = self._state.reported is not None and self._state.reported.sub_state.terminal
        self._chores.let_go(execution)
        provider = self._runtime.workflow.get(execution.engine)
        if isinstance(provider, RunsInOwner):
            provider.forget(execution.id)
        elif provider is not None and not told_by_engine:
            await self._chores.begin("kill", self._chores.cancel(execution, message, kill=True))
