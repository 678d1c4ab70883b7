"""The decision of a tenant's owner. Pure: (rows, owner state, policy) → at most one action, and the time of the next
look. The tenant actor's runner calls it for every wake-up, whatever caused the wake-up.

No I/O and no clock of its own: `now` is the database's, read with the rows.
"""

from dataclasses import replace

from controlplane.lifecycle import other_nodes
from controlplane.lifecycle.decisions import (
    Clean,
    Decision,
    Finish,
    Heal,
    Leave,
    LeaveAlone,
    Look,
    MarkBudgetSpent,
    MarkKept,
    MarkRecovered,
    MarkUnhealthy,
    Passivate,
    Promote,
    RestoreServing,
)
from controlplane.lifecycle.drains import drain_left, drains
from controlplane.lifecycle.drive import drive
from controlplane.lifecycle.due import LONGEST_INTERVAL, is_due, sooner, until
from controlplane.lifecycle.newer import newer
from controlplane.lifecycle.owner_state import Finding, OwnerState, Policy
from controlplane.model import (
    RELEASED,
    Action,
    ConditionType,
    Execution,
    ExecutionState,
    Placement,
    Reason,
    Status,
    TenantRows,
)

MOST_DOUBLINGS = 4
"""A flapping tenant needs at most sixteen times its healthy threshold."""

LEAVES_SECONDS = 2.0
"""If other tenants want its place, an owner leaves for a wait that is longer than this."""

AWAY_SECONDS = (10.0, 60.0)
"""Shortest and longest absence: coming back costs the start of a process."""


def reconcile(rows: TenantRows, state: OwnerState, policy: Policy) -> Decision:
    """The next action."""
    decision = _decide(rows, state, policy)
    if not (state.hurried and decision.durable and decision.act is None):
        return decision
    least, most = AWAY_SECONDS
    wait = least if decision.look_again is None else decision.look_again
    return Decision(Passivate(min(max(wait, least), most))) if wait >= LEAVES_SECONDS else decision


def _decide(rows: TenantRows, state: OwnerState, policy: Policy) -> Decision:
    """The rules stand in the order of their importance."""
    if rows.tenant.status is Status.DELETED:
        return Decision(Leave())
    if (why := newer(rows)) is not None:
        return Decision(LeaveAlone(why))
    active, queued = rows.active, rows.queued
    if queued is not None and queued.cancel_requested_at is not None:
        return Decision(Finish(queued, ExecutionState.CANCELLED, "cancelled before it started"))
    left = _left_behind(rows, policy)
    for unfinished in (active, None if active is not None or rows.tenant.paused else queued):
        if unfinished is not None and (decision := other_nodes.work(rows, unfinished, policy)) is not None:
            return decision
    if active is not None:
        return drive(rows, active, left, state, policy)
    if rows.tenant.paused:
        return _rest(rows, state, policy)
    if left and (queued is None or queued.action is not Action.DELETE) and is_due(state.clean_due, rows.now):
        return Decision(Clean(left))
    if queued is not None:
        if state.draining:
            return Decision(Passivate())
        if is_due(queued.next_attempt_at, rows.now):
            return Decision(Promote(queued))
        return Decision(None, until(queued.next_attempt_at, rows.now), durable=True)
    serving = rows.serving
    if serving is not None and rows.tenant.deletion_requested_at is None:
        decision = _keep(rows, serving, state, policy)
    else:
        decision = _rest(rows, state, policy)
    if left and (decision.act is None or (isinstance(decision.act, Passivate) and not state.draining)):
        return Decision(None, sooner(decision.look_again, until(state.clean_due, rows.now)), durable=True)
    drain = drain_left(rows)
    if drain is not None and isinstance(decision.act, Passivate) and not state.draining:
        return Decision(None, drain, durable=True)
    if drain is not None and decision.act is None:
        return replace(decision, look_again=sooner(decision.look_again, drain))
    return decision


def _left_behind(rows: TenantRows, policy: Policy) -> tuple[Placement, ...]:
    """Placements on this machine of executions that have ended and do not serve, once they have drained. These facts
    are stable, so a late removal is harmless."""
    found = []
    for placement in rows.placements:
        execution = rows.find(placement.execution_id)
        over = execution is not None and execution.state in RELEASED
        unserved = over and placement.execution_id != rows.tenant.serving_execution
        if unserved and not drains(rows, placement) and not other_nodes.is_elsewhere(rows, placement, policy):
            found.append(placement)
    return tuple(found)


def _keep(rows: TenantRows, serving: Execution, state: OwnerState, policy: Policy) -> Decision:
    """No execution is active and one serves: its resource must run and be healthy, whatever the newest execution
    did."""
    if other_nodes.serving_node(rows, serving, policy) is not None:
        return other_nodes.kept(rows, serving, state, policy) or _rest(rows, state, policy)
    finding = state.finding if state.finding is not None and state.finding.epoch == rows.tenant.epoch else None
    if finding is None:
        if state.looking and not state.draining:
            return Decision(None)  # leaving now would lose the look, and the sweep's finding would stay unhandled
        if is_due(state.look_due, rows.now):
            return Decision(Look(serving))
        return _rest(rows, state, policy, wait=until(state.look_due, rows.now))
    status = rows.tenant.status
    stopped = finding.present and not finding.running
    unwell = finding.healthy is False or not finding.present
    wanted = serving.spec.heal == "restart" and not finding.recovering
    may_heal = status is Status.DEGRADED and wanted and not state.draining
    if stopped and state.restore_due is None:
        return Decision(RestoreServing(serving))
    if unwell and status in (Status.READY, Status.FAILED):
        return Decision(MarkUnhealthy(_with_newest(rows, serving, finding.detail)))
    if unwell and may_heal:
        if state.heals < policy.heal_budget:
            return Decision(Heal(serving, _with_newest(rows, serving, finding.detail)))
        if not _says(rows, ConditionType.HEALTHY, Reason.HEAL_BUDGET):
            return Decision(MarkBudgetSpent(f"{policy.heal_budget} heals did not last: {finding.detail}"))
    if stopped and is_due(state.restore_due, rows.now, LONGEST_INTERVAL):
        return Decision(RestoreServing(serving))
    recovered = _recovered(rows, serving, finding, state)
    if recovered is not None:
        return Decision(recovered)
    if is_due(state.finding_due, rows.now, LONGEST_INTERVAL):
        return Decision(Look(serving))
    again = until(state.finding_due, rows.now)
    in_doubt = (status is Status.READY and finding.bad > 0) or (status is Status.DEGRADED and finding.healthy)
    if in_doubt and not state.draining:
        return Decision(None, again)  # the next owner would restart the probe count
    if unwell and may_heal:
        return Decision(None, again, durable=True)  # the budget is spent, and no one else would look again
    return _rest(rows, state, policy, wait=again)


def _recovered(
    rows: TenantRows, serving: Execution, finding: Finding, state: OwnerState
) -> MarkRecovered | MarkKept | None:
    """The serving resource is well again. Only the newest generation makes the tenant `ready`; if an older one serves,
    the tenant stays `failed`.

    A failed heal of the serving generation does not matter: its goal is reached without it."""
    if not finding.healthy or finding.good < _good_enough(serving, state):
        return None
    serves_newest = serving.generation == rows.tenant.generation
    match rows.tenant.status:
        case Status.DEGRADED:
            return MarkRecovered() if serves_newest else MarkKept(_newest_failure(rows))
        case Status.FAILED if serves_newest:
            return MarkRecovered()
    return None


def _with_newest(rows: TenantRows, serving: Execution, detail: str) -> str:
    """The problem of the serving resource and, if an older generation serves, the reason why the newest does not."""
    if serving.generation == rows.tenant.generation:
        return detail
    return f"{detail}; generation {rows.tenant.generation} failed: {_newest_failure(rows)}"


def _newest_failure(rows: TenantRows) -> str:
    return (rows.newest.error if rows.newest is not None else None) or "without a message"


def _good_enough(serving: Execution, state: OwnerState) -> int:
    """Damping: a flapping tenant must stay well for longer, twice as many probes with each recent degradation."""
    return serving.spec.health.healthy_threshold << min(max(state.degradations - 1, 0), MOST_DOUBLINGS)


def _rest(rows: TenantRows, state: OwnerState, policy: Policy, wait: float | None = None) -> Decision:
    """Nothing to do: leave after the idle time."""
    if state.draining:
        return Decision(Passivate())
    if policy.idle is None:
        return Decision(None, wait)
    idle_left = policy.idle - (rows.now - (state.worked_at or rows.now)).total_seconds()
    if idle_left <= 0:
        return Decision(Passivate())
    return Decision(None, idle_left if wait is None else min(idle_left, wait))


def _says(rows: TenantRows, type: ConditionType, reason: Reason) -> bool:
    return any(condition.type == type and condition.reason == reason for condition in rows.tenant.conditions)
