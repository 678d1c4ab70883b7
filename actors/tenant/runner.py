"""The runner: load rows → pure `reconcile` → at most one action → wait for a wake-up, a child or a timer.

One coroutine per live tenant. It does database writes itself and at once. Work that may take long (an engine's start, a
look, a clean-up) is a chore: a child coroutine, at most one of a kind, that marks the mailbox when it is done. So a
DELETE is seen at once, and reads never wait behind work.
"""

import logging
import platform
from dataclasses import replace
from datetime import datetime
from typing import Any

from actors.runtime import Runtime
from actors.tenant.chores import Chores
from actors.tenant.follower import Follower
from actors.tenant.mailbox import Mailbox
from actors.tenant.replay import Replay
from controlplane.errors import LeaseLost, told
from controlplane.lifecycle import decisions
from controlplane.lifecycle.owner_state import OwnerState, Silence
from controlplane.lifecycle.poison import LONGEST_PAUSE, Failing, well
from controlplane.lifecycle.reconcile import reconcile
from controlplane.lifecycle.transitions import Cause
from controlplane.model import Execution, ExecutionState, Reason, TenantRows
from controlplane.persistence import outage
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.ports import RunsInOwner

logger = logging.getLogger(__name__)

STORE_PAUSE = 1.0
"""Seconds before the rows are read again when the database does not answer, or a turn failed."""

FAILING = "failing"
LOAD, DECIDE = "load", "decide"
"""The steps of a turn before its act."""


class Runner:
    """Drives one tenant under one lease.

    Promises: acts only on rows read after the last wake-up; writes only under its fence; does not die of one error. It
    ends with `deleted`, `passivated`, `lost` (another owner holds the tenant) or `failing` (its turns fail, or only a
    newer release can act on its rows: the tenant says so, and is due again later). While the database is away it stays.
    Only the end of its process breaks it; then the next owner continues from the rows.
    """

    def __init__(self, owned: OwnedTenant, runtime: Runtime, mailbox: Mailbox, replay: Replay) -> None:
        self._owned = owned
        self._runtime = runtime
        self._mailbox = mailbox
        self._replay = replay
        self._state = OwnerState()
        self._policy = runtime.policy
        self.wake_in: float | None = None
        """Once it has passivated: seconds until its tenant is due again. None: only when a client wants something of
        it."""
        self._chores = Chores(owned, runtime, mailbox, self._note)
        self._at = LOAD
        """The point that the turn has reached."""
        self._failing = Failing()
        self._failed_before: str | None = None
        """The point at which turns of earlier owners failed, if the tenant says so still."""

    @property
    def doing(self) -> list[str]:
        """The chores that run now, for people; since when, once one takes long."""
        return self._chores.doing

    def hurry(self) -> None:
        """Other tenants want its place: passivate as soon as there is nothing to do but to wait."""
        self._policy = replace(self._policy, idle=0.0)
        self._note(hurried=True)
        self._chores.hurry()
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
                except Exception as error:
                    logger.exception("tenant %s: a turn failed at %s", self._owned.tenant_id, self._at)
                    self._fails(self._at, error)
                    if not self._must_leave():
                        await self._mailbox.wait(STORE_PAUSE)
                        continue
                    ended = await self._leave_failing(error)
                if ended is not None:
                    return ended
        finally:
            self._chores.stop()

    async def give_back(self, ended: str) -> None:
        """Give the lease back, after `run` has ended so."""
        if ended == FAILING:
            await self._owned.give_up(self._failing.at or DECIDE)
        elif ended != "lost":
            await self._owned.release(self.wake_in)

    async def _turn(self) -> str | None:
        """One look at the rows, and the action that follows."""
        self._at = LOAD
        if self._mailbox.clear():
            self._chores.forget_look()
            self._note(finding_due=None)
        rows = await self._owned.load()
        self._failed_before = rows.tenant.failing_at
        await self._take_in_chores()
        self._at = DECIDE
        followed = self._chores.follower
        self._note(
            followed=followed.execution_id if followed else None,
            reported=followed.status if followed else None,
            silence=self._silence_of(followed, rows.now),
            worked_at=self._state.worked_at or rows.now,
        )
        decision = reconcile(rows, self._state, self._policy)
        self._replay.decided(rows, decision)
        self._mailbox.publish(rows)
        if not isinstance(decision.act, decisions.LeaveAlone):
            nothing_left = well(rows, self._state, decision, busy=bool(self._chores.doing))
            await self._passed(*(() if nothing_left else (LOAD, DECIDE)))
        match decision.act:
            case decisions.Leave():
                return "deleted"
            case decisions.LeaveAlone(why) if not self._mailbox.dirty:
                return await self._leave(Reason.NEWER_RELEASE, f"a newer release wrote {why}: run that release")
            case decisions.LeaveAlone():
                return None
            case decisions.Passivate(wake_in):
                # Whether what failed would fail again has not been seen.
                self.wake_in = wake_in if self._failed_before is None else wake_in or LONGEST_PAUSE
                return "passivated" if self._mailbox.close() else None
            case None:
                await self._mailbox.wait(decision.look_again)
            case act:
                if not isinstance(act, decisions.Look):
                    self._note(worked_at=rows.now)
                    _say(act, rows)
                self._at = type(act).__name__
                await self._do(act, rows)
                await self._passed(self._at)
        return None

    # --- turns that fail ---

    def _fails(self, at: str, error: Exception) -> None:
        """Count the failure. A database that is away fails no turn: it is waited for."""
        if not outage.passes(error):
            self._failing = self._failing.again(at, type(error).__name__)

    def _must_leave(self) -> bool:
        wanted = self._state.hurried or self._state.draining
        return self._failing.leaves(wanted=wanted, woken=self._mailbox.dirty)

    async def _leave_failing(self, error: Exception) -> str:
        return await self._leave(Reason.TURN_FAILS, f"{self._failing.at} fails: {told(error, 'an unexpected error')}")

    async def _leave(self, reason: Reason, message: str) -> str:
        """Say it in a condition if that can be written, and leave in any case."""
        self._mailbox.close(whatever=True)
        logger.error("tenant %s: its owner leaves and comes back later: %s", self._owned.tenant_id, message)
        try:
            await self._owned.fails(reason, message)
        except LeaseLost:
            return "lost"
        except Exception:
            logger.exception("tenant %s: the condition cannot be written either", self._owned.tenant_id)
        return FAILING

    async def _take_in_chores(self) -> None:
        """Raises the error that nobody foresaw of a chore that has ended."""
        while self._chores.ended:
            self._at, failure = self._chores.ended.pop(0)
            if failure is not None:
                raise failure
            await self._passed(self._at)

    async def _passed(self, *points: str) -> None:
        """These have succeeded; without any, all have. If owners have left because of it, the tenant says that it is
        over."""
        if not points or self._failing.at in points:
            self._failing = Failing()
        if self._failed_before is not None and (not points or self._failed_before in points):
            self._failed_before = None
            await self._owned.fails_no_more()

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
            case decisions.TellWait(execution, step):
                await own.tell_wait(execution.id, step)
            case decisions.TellLost(execution, message):
                await own.tell_lost(execution.id, message)
            case decisions.PlaceAgain(execution, node):
                await own.place_again(execution.id, node)
            case decisions.RunElsewhere(execution, reason, without):
                await own.run_elsewhere(execution.id, reason, without)
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
            case decisions.MarkLost(message):
                await self._mark(rows, Cause.UNHEALTHY, message, Reason.NODE_LOST)
            case decisions.MarkBudgetSpent(message):
                await self._mark(rows, Cause.UNHEALTHY, message, Reason.HEAL_BUDGET)
            case decisions.MarkRecovered():
                await self._mark(rows, Cause.RECOVERED, "", Reason.PROBE)
            case decisions.MarkKept(message):
                await self._mark(rows, Cause.KEPT, message, Reason.PROBE)
            case decisions.Heal(serving, reason, without):
                if without and await self._heals() >= self._policy.heal_budget:
                    return
                engine = self._runtime.settings.workflow_provider
                await own.heal(rows.tenant.epoch, serving, reason, default_workflow=engine, without=without)

    async def _heals(self) -> int:
        """The heals of the budget's window, remembered. A look counts them too, but nobody looks at a lost machine."""
        heals = await self._owned.heals_since(self._policy.heal_window)
        self._note(heals=heals)
        return heals

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


def _say(act: decisions.Act, rows: TenantRows) -> None:
    """A line for each change in a tenant's life, which a person can follow and a machine can sort."""
    tenant = rows.tenant
    execution = getattr(act, "execution", None)
    about = f" {execution.id}" if execution is not None else ""
    fields = {
        "tenant": tenant.name,
        "execution": None if execution is None else execution.id,
        "request_id": None if execution is None else execution.request_id,
        "status": tenant.status.value,
        "generation": tenant.generation,
        "fence": tenant.fence,
        "node": platform.node(),
    }
    logger.info("%s: %s%s", tenant.name, type(act).__name__, about, extra=fields)
