"""What the owner decides: the real `reconcile` on rows made from the model's, remembered for each state of the rows."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from controlplane.lifecycle import decisions
from controlplane.lifecycle.decisions import Decision
from controlplane.lifecycle.owner_state import Finding, OwnerState, Policy, Silence
from controlplane.lifecycle.poison import well
from controlplane.lifecycle.reconcile import reconcile
from controlplane.model import (
    LIVE,
    Condition,
    ConditionType,
    Execution,
    ExecutionState,
    Observed,
    Reason,
    Status,
    SubState,
    Tenant,
    TenantRows,
)
from controlplane.ports import ExecutionStatus
from tests.model.binding import ENGINE, Binding
from tests.model.case import Case
from tests.model.rules import Rule
from tests.model.stubs import MISREAD, NOW, READABLE, UNREADABLE, placement, read_by_older
from tests.model.world import LIVES, NAME, World
from tests.model.world import Execution as Row

LONG_AGO = NOW - timedelta(days=1)
AHEAD = NOW + timedelta(seconds=60)


class Seen(NamedTuple):
    """What an owner knows beside the rows, and what time has done."""

    engine: SubState | None
    finding: tuple[bool, bool, bool, bool] | None
    silent: bool = False
    """The engine has not answered for as long as an owner waits."""
    waits: bool = False
    """What is queued or starting is not due yet."""
    blind: bool = False
    """The last look failed, and the next is not due yet."""
    stop_waited: bool = False
    old: bool = False
    """It is of the older release."""
    deadline_over: bool = False


Act = tuple[Any, ...]
"""A decision as plain values: the name of the real act, the execution's id, and what else it says."""


class Decided(NamedTuple):
    """`act` None: nothing to do. `well`: nothing is left that could fail."""

    act: Act | None
    well: bool


class Decisions:
    def __init__(self, case: Case, binding: Binding) -> None:
        self._binding = binding
        self._crowded = case.crowded
        self._policy = Policy(
            idle=0 if case.passivates else None,
            deadline=600,
            heal_budget=case.heal_budget,
            fallback=ENGINE if case.embedded else "embedded",
        )
        self._known: dict[tuple[Any, ...], Decided] = {}

    def decide(self, world: World, seen: Seen) -> Decided:
        tenant = world.tenant
        rows = (
            tenant._replace(fence=0, lease=tenant.lease.FREE, cluster=0, found=None, failing=None, away=False),
            world.executions,
            world.placements,
        )
        key = (rows, seen)
        if key not in self._known:
            self._known[key] = self._decide(world, seen)
        return self._known[key]

    def _decide(self, world: World, seen: Seen) -> Decided:
        rows = self._rows(world, seen)
        active = rows.active
        view = OwnerState(
            followed=active.id if active is not None and (seen.engine is not None or seen.silent) else None,
            silence=Silence(LONG_AGO, "it does not answer") if seen.silent else None,
            reported=_status(seen),
            finding=_finding(seen.finding),
            finding_due=AHEAD,
            look_due=AHEAD if seen.blind else None,
            hurried=self._crowded,
            heals=sum(e.heal for e in world.executions if e.life == world.tenant.life),
            worked_at=NOW,
        )
        decision = reconcile(rows, view, self._policy)
        act = self._without_a_rule(rows, seen, decision.act)
        return Decided(self._plain(act), well(rows, view, Decision(act), busy=False))

    @staticmethod
    def _plain(act: decisions.Act | None) -> Act | None:
        match act:
            case None:
                return None
            case decisions.Stop(execution, cause, _):
                return "Stop", execution.id, cause
            case decisions.Finish(execution, outcome, _):
                return "Finish", execution.id, outcome
            case decisions.Passivate(wake_in):
                return "Passivate", wake_in is not None
            case decisions.HandOver(execution):
                return "HandOver", execution.id
            case decisions.Clean(placements):
                return "Clean", placements[0].execution_id
            case (
                decisions.Promote()
                | decisions.Start()
                | decisions.Follow()
                | decisions.Look()
                | decisions.RestoreServing() as act
            ):
                return type(act).__name__, act.execution.id
            case act:
                return (type(act).__name__,)

    def _without_a_rule(self, rows: TenantRows, seen: Seen, act: decisions.Act | None) -> decisions.Act | None:
        """What an owner would do that did not have one of the rules."""
        rules, active, newest = self._binding.rules, rows.active, rows.newest
        switched = active is not None and rows.tenant.serving_execution == active.id
        if isinstance(act, decisions.Clean) and active is not None and Rule.OWNER_RETIRES not in rules:
            return decisions.Finish(active, ExecutionState.SUCCEEDED, "")
        unreadable = any(e.spec.unreadable for e in rows.executions if not e.state.terminal or e == rows.serving)
        if unreadable and Rule.DELETES_ANYWAY not in rules:
            return decisions.LeaveAlone("a part of a spec cannot be read")
        match act:
            case decisions.MarkUnhealthy() | decisions.Heal() if Rule.KEPT not in rules:
                return act if newest is not None and newest.state is ExecutionState.SUCCEEDED else None
            case decisions.Finish(execution, ExecutionState.FAILED) if Rule.SWITCHED_SUCCEEDS not in rules:
                lied = seen.engine is SubState.SUCCEEDED
                return decisions.Finish(execution, ExecutionState.SUCCEEDED, "") if lied else act
            case decisions.Finish() | decisions.Clean() if switched and seen.silent:
                return act if Rule.ENGINE_NOT_NEEDED in rules else None
        return act

    def _rows(self, world: World, seen: Seen) -> TenantRows:
        """`persistence.lifecycle.load`."""
        tenant = world.tenant
        executions = [self._execution(e, seen) for e in world.executions if e.life == tenant.life]
        placements = [p for p in world.placements if p.state in LIVE and world.of(p.execution).life == tenant.life]
        placements.sort(key=lambda p: world.of(p.execution).order)
        spent = Condition(type=ConditionType.HEALTHY, status="false", reason=Reason.HEAL_BUDGET, message="", since=NOW)
        return TenantRows(
            tenant=Tenant(
                id=LIVES[tenant.life],
                name=NAME,
                labels={},
                annotations={},
                spec=self._binding.execution(tenant.current).spec,
                generation=tenant.generation,
                observed_generation=tenant.observed,
                status=tenant.status,
                status_message="",
                conditions=(spent,) if tenant.budget_spent else (),
                observed=Observed(),
                newest_execution=tenant.current,
                serving_execution=tenant.serving,
                version=1,
                paused=tenant.paused,
                epoch=1,
                fence=1,
                lease_owner=None,
                lease_expires_at=None,
                created_at=NOW,
                updated_at=NOW,
                deletion_requested_at=NOW if tenant.deleting else None,
                deleted_at=NOW if tenant.status is Status.DELETED else None,
            ),
            executions=tuple(executions),
            steps=(),
            placements=tuple(placement(self._binding, p.execution, p.resource) for p in placements),
            now=NOW,
        )

    def _execution(self, row: Row, seen: Seen) -> Execution:
        left_alone = Rule.LEFT_ALONE in self._binding.rules
        how = READABLE if not (seen.old and row.newer) else UNREADABLE if left_alone else MISREAD
        known = read_by_older(self._binding.execution(row.id), how)
        return replace(
            known,
            state=row.state,
            sub_state=seen.engine if row.state.active else None,  # written down already
            stop_cause=row.cause,
            stop_requested_at=(LONG_AGO if seen.stop_waited else NOW) if row.cause else None,
            cancel_requested_at=NOW if row.cancel else None,
            next_attempt_at=AHEAD if seen.waits else None,
            started_at=LONG_AGO if seen.deadline_over else NOW,
        )


def _status(seen: Seen) -> ExecutionStatus | None:
    if seen.engine is None:
        return None
    waits = seen.waits and seen.engine is SubState.BACKING_OFF
    return ExecutionStatus(seen.engine, next_attempt_at=AHEAD if waits else None)


def _finding(seen: tuple[bool, bool, bool, bool] | None) -> Finding | None:
    if seen is None:
        return None
    fresh, present, running, healthy = seen
    return Finding(epoch=1 if fresh else 0, present=present, running=running, healthy=healthy)
