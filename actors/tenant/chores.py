"""The runner's children: work that may take long, and the follower of the engine's progress.

A chore is a child coroutine, at most one of a kind. It decides nothing: it does its work for the runner, notes the
result, and marks the mailbox when it is done.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from actors.runtime import Runtime
from actors.tenant.follower import Follower
from actors.tenant.health import OBSERVE_SECONDS, HealthTracker, Observer
from actors.tenant.mailbox import Mailbox
from controlplane import tracing
from controlplane.errors import LandlordError, LeaseLost, ProviderNotEnabled, told
from controlplane.lifecycle.owner_state import Finding
from controlplane.model import Execution, ExecutionState, Observed, Status, TenantRows
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.ports import ExecutionInput, RunsInOwner, WorkflowProvider
from controlplane.steps.backoff import Backoff

logger = logging.getLogger(__name__)

FAILED_PAUSE = 1.0
"""A failed chore waits this many seconds before the runner looks again."""

LOOK_PAUSE = timedelta(seconds=5)
"""Time after a failed look: its platform does not answer, or is no longer enabled here."""

CLEAN_PAUSE = timedelta(seconds=5)
"""Time after a failed clean-up."""

CHECKED_AT_SECONDS = 30.0
"""An unchanged healthy finding is written down this often, not at each probe."""

LONG = timedelta(seconds=15)
"""A chore that takes longer says since when it is at work."""

QUIET_SECONDS = OBSERVE_SECONDS
"""For so long a look goes on by itself while all is well, or for the time after which an idle owner leaves. The look of
one that is to leave does not go on."""

ANSWER_SECONDS = 0.01
"""Callers that wait for a start get their answer first, and have the cores for this time, before an engine in this
process takes them."""

TRIGGER_BACKOFF = Backoff(base=1.0, ceiling=30.0)


class Note(Protocol):
    """Sets fields of the `OwnerState` by their names."""

    def __call__(self, **changes: Any) -> None: ...


class Chores:
    """The chores of one runner, under its lease.

    Promises: at most one of a kind at once. If one fails, it is logged, and the runner looks again a little later.
    Database writes are under the fence. Ends with `stop`.
    """

    def __init__(self, owned: OwnedTenant, runtime: Runtime, mailbox: Mailbox, note: Note) -> None:
        self._owned = owned
        self._runtime = runtime
        self._mailbox = mailbox
        self._note = note
        self._observer = Observer(runtime.upkeep, runtime.prober)
        self._tracker = HealthTracker()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._begun: dict[str, datetime] = {}
        self.ended: list[tuple[str, Exception | None]] = []
        """Chores that have ended, for the runner to take in: kind, and an error that nobody foresaw. A platform or an
        engine that is away is foreseen."""
        self._trigger_failures = 0
        self.follower: Follower | None = None
        self._hurried = False

    def hurry(self) -> None:
        """Other tenants want its owner's place."""
        self._hurried = True

    @property
    def doing(self) -> list[str]:
        """The running chores, for people: `clean`, and `clean since 2026-01-01T12:00:00Z` once it takes long: a
        platform or an engine does not answer."""
        now = self._runtime.clock.now()
        return sorted(_said(kind, begun, now) for kind, begun in self._begun.items())

    async def begin(self, kind: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin a chore, unless one of its kind runs. Then wait for news instead, since the decision will come
        again."""
        if kind in self._running:
            work.close()
            await self._mailbox.wait(None)
            return
        self._begun[kind] = self._runtime.clock.now()
        self._running[kind] = asyncio.create_task(self._see_through(kind, work), name=f"{kind}")

    def stop(self) -> None:
        """Stop the follower and all chores."""
        if self.follower is not None:
            self.follower.stop()
        for task in self._running.values():
            task.cancel()

    def follow(self, execution: Execution, ref: str | None) -> None:
        """Follow this execution from now on. `ref`: its engine's own handle."""
        if self.follower is not None:
            self.follower.stop()
        self.follower = Follower(self._runtime.workflow, execution, ref, self._mailbox.mark_dirty)

    def let_go(self, execution: Execution) -> None:
        """Stop following the execution."""
        if self.follower is not None and self.follower.execution_id == execution.id:
            self.follower.stop()
            self.follower = None

    def forget_look(self) -> None:
        """The next look asks the platform."""
        self._observer.forget()

    # --- what a chore does ---

    async def start(self, execution: Execution, now: datetime) -> None:
        """Hand the execution to its engine, and follow it. If the engine refuses it or is away, it is tried again,
        later each time."""
        try:
            provider = self._provider(execution)
            if isinstance(provider, RunsInOwner) and self._mailbox.started(execution.id):
                await asyncio.sleep(ANSWER_SECONDS)
            with tracing.span(
                f"start at {execution.engine}", parent=execution.traceparent, root=True, execution=execution.id
            ):
                started = await provider.start(ExecutionInput.of(execution))
        except Exception as error:
            self._trigger_failures += 1
            message = told(error, "the engine failed")
            again = now + timedelta(seconds=TRIGGER_BACKOFF.bound(self._trigger_failures))
            if execution.state is ExecutionState.STARTING:
                await self._owned.start_failed(execution.id, message, again)
            else:  # its engine had lost it: ask again, and start it later
                self._note(start_due=again)
                self.follow(execution, execution.provider_ref)
            return
        self._trigger_failures = 0
        self._mailbox.started(execution.id)
        if execution.state is ExecutionState.STARTING:
            await self._owned.running(execution.id, started.ref, already=started.already)
        self.follow(execution, started.ref)

    async def cancel(self, execution: Execution, reason: str, *, kill: bool) -> None:
        """Ask the engine to stop the execution."""
        await self._provider(execution).cancel(execution.id, execution.provider_ref, reason, kill=kill)

    async def clean(self, ended: Iterable[Execution], now: datetime) -> None:
        """Remove the leftovers of these executions."""
        for execution in ended:
            try:
                await self._runtime.upkeep.clean(execution)
            except LandlordError as error:
                logger.warning("cannot clean up after %s: %s", execution.id, error)
                self._note(clean_due=now + CLEAN_PAUSE)

    async def look(self, execution: Execution, rows: TenantRows) -> None:
        """Observe, probe, remember; write down the changes. While all is well, go on with probes for QUIET_SECONDS or
        until the next mark: the runner would decide nothing, and to read the rows each time costs more than a probe."""
        idle = 0.0 if self._hurried else self._runtime.policy.idle
        until = time.monotonic() + (QUIET_SECONDS if idle is None else min(QUIET_SECONDS, idle))
        interval = execution.spec.health.interval_seconds
        self._note(finding_due=rows.now + timedelta(seconds=interval), look_due=rows.now + LOOK_PAUSE, looking=True)
        try:
            finding, observed = await self._look(execution, rows, rows.tenant.observed)
            while _is_well(finding, rows) and time.monotonic() + interval < until:
                self._begun.pop("look", None)  # nobody waits for it now
                if await self._mailbox.wait(interval):
                    break
                finding, observed = await self._look(execution, rows, observed)
        finally:
            self._note(looking=False)

    async def _look(self, execution: Execution, rows: TenantRows, before: Observed) -> tuple[Finding, Observed]:
        """The finding, and what the row says now. `before`: what it said until then."""
        tenant, now = rows.tenant, self._runtime.clock.now()
        resource, result = await self._observer.look(execution)
        self._note(look_due=None)
        finding = self._tracker.judge(execution, tenant.epoch, resource, result)
        observed = Observed(
            endpoints=resource.endpoints if resource else (),
            resources=before.resources if resource else {},
            healthy=finding.healthy if finding.healthy is not None else before.healthy,
            checked_at=now,
            node=self._runtime.node_of(execution.spec.compute.provider, before.node),
        )
        aged = before.checked_at is None or (now - before.checked_at).total_seconds() > CHECKED_AT_SECONDS
        changed = replace(observed, checked_at=before.checked_at) != before
        if aged or changed:
            await self._owned.observed(tenant.epoch, observed)
        news: dict[str, Any] = {"finding": finding}
        if finding.good:
            news["restore_due"] = None
        window = self._runtime.policy.heal_window
        if finding.healthy is False or not finding.present:
            news["heals"] = await self._owned.heals_since(window)
        elif tenant.status is Status.DEGRADED:
            news["degradations"] = await self._owned.degradations_since(window)
        self._note(**news)
        return finding, observed if aged or changed else before

    async def restore(self, execution: Execution, now: datetime) -> None:
        """Start the execution's resource again, and look again."""
        interval = timedelta(seconds=execution.spec.health.interval_seconds)
        self._note(finding=None, restore_due=now + interval)
        self._observer.forget()
        await self._runtime.upkeep.restore(execution)

    # --- around them ---

    async def _see_through(self, kind: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            self.ended.append((kind, None))
        except LeaseLost:
            logger.info("lost the lease during %s", kind)
        except LandlordError as error:
            logger.warning("chore %s of tenant %s: %s", kind, self._owned.tenant_id, error)
            await asyncio.sleep(FAILED_PAUSE)
        except Exception as error:
            self.ended.append((kind, error))
            await asyncio.sleep(FAILED_PAUSE)
        finally:
            self._running.pop(kind, None)
            self._begun.pop(kind, None)
            self._mailbox.mark_dirty()

    def _provider(self, execution: Execution) -> WorkflowProvider:
        enabled = self._runtime.workflow
        if execution.engine not in enabled:
            raise ProviderNotEnabled(
                f"workflow provider {execution.engine!r} is not enabled here", enabled=sorted(enabled)
            )
        return enabled[execution.engine]


def _is_well(finding: Finding, rows: TenantRows) -> bool:
    """Whether it leaves the runner nothing to decide."""
    well = finding.healthy is True and finding.present and finding.running and finding.bad == 0
    return well and rows.tenant.status is Status.READY


def _said(kind: str, begun: datetime, now: datetime) -> str:
    return f"{kind} since {begun:%Y-%m-%dT%H:%M:%SZ}" if now - begun > LONG else kind
