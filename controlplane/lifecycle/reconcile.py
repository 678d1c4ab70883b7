"""The decision: what the owner of a tenant does next. Pure: (rows, view, policy) → at most one action, and when to
look again. Called by the tenant actor's runner for every wake-up, whatever woke it; reads like DESIGN §5 and §6.

No I/O and no clock of its own: `now` is the database's, read with the rows.
"""

from datetime import datetime, timedelta

from controlplane.lifecycle.decisions import (
    AdvancePlanned,
    Clean,
    Decision,
    Finish,
    Follow,
    HandOver,
    Heal,
    Leave,
    Look,
    MarkBudgetSpent,
    MarkRecovered,
    MarkUnhealthy,
    Passivate,
    Promote,
    RecordProgress,
    RestoreServing,
    Start,
    Stop,
)
from controlplane.lifecycle.owner_state import OwnerState, Policy, Silence
from controlplane.model import (
    RELEASED,
    Action,
    ConditionType,
    Execution,
    ExecutionState,
    Placement,
    Reason,
    Status,
    StepName,
    StepState,
    StopCause,
    SubState,
    TenantRows,
)
from controlplane.ports import ExecutionStatus

STOP_SECONDS = 30.0
"""A stopping execution whose engine does not answer is ended after this; the gate, not the wait, is the guarantee."""

MOST_DOUBLINGS = 4
"""A tenant that flaps is asked for sixteen times its healthy threshold at most."""


def reconcile(rows: TenantRows, state: OwnerState, policy: Policy) -> Decision:
    """The next action. The order of the rules is the order of their importance."""
    if rows.tenant.status is Status.DELETED:
        return Decision(Leave())
    active = rows.active
    if active is not None:
        return _drive(rows, active, state, policy)
    queued = rows.queued
    if queued is not None and queued.cancel_requested_at is not None:
        return Decision(Finish(queued, ExecutionState.CANCELLED, "cancelled before it started"))
    if rows.tenant.paused:
        return _rest(rows, state, policy)
    left = _left_behind(rows)
    if left and (queued is None or queued.action is not Action.DELETE) and _is_due(state.clean_due, rows.now):
        return Decision(Clean(left))
    if queued is not None:
        if state.draining:
            return Decision(Passivate())
        if _is_due(queued.next_attempt_at, rows.now):
            return Decision(Promote(queued))
        return Decision(None, _until(queued.next_attempt_at, rows.now))
    serving = rows.serving
    if serving is not None and rows.tenant.deletion_requested_at is None:
        decision = _keep(rows, serving, state, policy)
    else:
        decision = _rest(rows, state, policy)
    if left and (decision.act is None or (isinstance(decision.act, Passivate) and not state.draining)):
        return Decision(None, _sooner(decision.look_again, _until(state.clean_due, rows.now)))
    return decision


def _drive(rows: TenantRows, active: Execution, state: OwnerState, policy: Policy) -> Decision:
    """An execution is on. The first rule that fits decides:
    1 its engine is done with it; 2 it is stopping (a: over, b: follow it, c: wait); 3 overtaken after its switch, so it
    has succeeded; 4 to be stopped; 5 a delete whose engine is silent for long: hand it over; 6 starting (a: ask its
    engine, b: not yet); 7 follow it; 8 its engine has said nothing yet; 9 its engine does not know it (a: start the
    same id again, b: not yet); 10 its engine gave up before the switch; 11 its plan is through; 12 its engine has
    news; 13 it has none.
    """
    reported = state.reported if state.followed == active.id else None
    switched = rows.tenant.serving_execution == active.id
    if reported is not None and reported.sub_state.terminal:
        return Decision(_ending(active, reported, switched=switched))  # 1
    if active.state is ExecutionState.STOPPING:
        waited = (rows.now - (active.stop_requested_at or rows.now)).total_seconds()
        if waited >= STOP_SECONDS or (reported is not None and reported.sub_state is SubState.UNKNOWN):
            return Decision(_stopped(active))  # 2a
        if state.followed != active.id:
            return Decision(Follow(active))  # 2b
        return Decision(None, STOP_SECONDS - waited)  # 2c
    if switched and _successor(rows) is not None and _backs_off(reported):
        # It can only succeed, and what it cannot remove is its successor's to remove.
        return Decision(Finish(active, ExecutionState.SUCCEEDED, ""))  # 3
    stop = None if switched else _reason_to_stop(rows, active, reported, policy)
    if stop is not None:
        return Decision(stop)  # 4
    silence = _silence(active, state, policy)
    hand_over = None
    if silence is not None and policy.fallback is not None:
        hand_over = policy.engine_silence - (rows.now - silence.since).total_seconds()
        if hand_over <= 0:
            why = f"{active.engine} is replaced by {policy.fallback}: {silence.why}"
            return Decision(HandOver(active, policy.fallback, why))  # 5
    if active.state is ExecutionState.STARTING:
        if _is_due(active.next_attempt_at, rows.now):
            return Decision(Start(active))  # 6a
        return Decision(None, _sooner(_until(active.next_attempt_at, rows.now), hand_over))  # 6b
    if state.followed != active.id:
        return Decision(Follow(active))  # 7
    if reported is None:
        return Decision(None, _sooner(_deadline(rows, active, policy), hand_over))  # 8
    if reported.sub_state is SubState.UNKNOWN:
        # The engine has never heard of it, or (embedded) lost it with its owner: start the same id again.
        if _is_due(state.start_due, rows.now):
            return Decision(Start(active))  # 9a
        return Decision(None, _until(state.start_due, rows.now))  # 9b
    if reported.sub_state is SubState.ERROR and not switched:
        return Decision(Stop(active, StopCause.DEADLINE, reported.error or "the engine gave up"))  # 10
    if rows.tenant.status is Status.PLANNING and _planned(rows):
        return Decision(AdvancePlanned(active))  # 11
    if (reported.sub_state, reported.retry_count, reported.error, reported.next_attempt_at) != (
        active.sub_state,
        active.retry_count,
        active.error,
        active.next_attempt_at,
    ):
        return Decision(RecordProgress(active, reported))  # 12
    return Decision(None, _sooner(_deadline(rows, active, policy), hand_over))  # 13


def _reason_to_stop(
    rows: TenantRows, active: Execution, reported: ExecutionStatus | None, policy: Policy
) -> Stop | None:
    """The overlap policy: a delete supersedes at once; a newer spec only what is backing off."""
    if active.cancel_requested_at is not None:
        return Stop(active, StopCause.CANCELLED, "cancelled by request")
    if _left_of_deadline(rows, active, policy) <= 0 and active.action is not Action.DELETE:
        return Stop(active, StopCause.DEADLINE, f"not finished after {policy.deadline:g} s")
    successor = _successor(rows)
    if successor is None:
        return None
    if successor.action is Action.DELETE:
        return Stop(active, StopCause.SUPERSEDED, "Deletion requested")
    never_started = active.state is ExecutionState.STARTING and active.error is not None
    if _backs_off(reported) or never_started:
        return Stop(active, StopCause.SUPERSEDED, "Configuration updated")
    return None


def _successor(rows: TenantRows) -> Execution | None:
    """What waits for the active one to end; not what is cancelled already."""
    return rows.queued if rows.queued is not None and rows.queued.cancel_requested_at is None else None


def _backs_off(reported: ExecutionStatus | None) -> bool:
    return reported is not None and reported.sub_state in (SubState.BACKING_OFF, SubState.ERROR)


def _ending(active: Execution, reported: ExecutionStatus, *, switched: bool) -> Finish:
    """How an execution ends whose engine is done with it."""
    if switched or (reported.sub_state is SubState.SUCCEEDED and active.state is not ExecutionState.STOPPING):
        return Finish(active, ExecutionState.SUCCEEDED, "")
    if active.action is Action.DELETE and reported.sub_state is SubState.SUCCEEDED:
        return Finish(active, ExecutionState.SUCCEEDED, "")
    if active.state is ExecutionState.STOPPING:
        return _stopped(active)
    if reported.sub_state is SubState.CANCELLED:
        return Finish(active, ExecutionState.CANCELLED, reported.error or "cancelled at the engine")
    return Finish(active, ExecutionState.FAILED, reported.error or "failed at the engine without a message")


def _stopped(active: Execution) -> Finish:
    """How an execution ends that we stopped: by what stopped it."""
    outcome = {
        StopCause.SUPERSEDED: ExecutionState.SUPERSEDED,
        StopCause.CANCELLED: ExecutionState.CANCELLED,
        StopCause.DEADLINE: ExecutionState.FAILED,
    }[active.stop_cause or StopCause.SUPERSEDED]
    reason = active.stop_reason or ""
    if outcome is ExecutionState.FAILED and active.error:
        reason = f"{reason}: {active.error}"
    return Finish(active, outcome, reason)


def _left_behind(rows: TenantRows) -> tuple[Placement, ...]:
    """Placements of executions that are over and do not serve: stable facts, so a late removal is harmless."""
    found = []
    for placement in rows.placements:
        execution = rows.find(placement.execution_id)
        over = execution is not None and execution.state in RELEASED
        if over and placement.execution_id != rows.tenant.serving_execution:
            found.append(placement)
    return tuple(found)


def _keep(rows: TenantRows, serving: Execution, state: OwnerState, policy: Policy) -> Decision:
    """Nothing is on, something serves: it is to run and be healthy, whatever the status."""
    finding = state.finding if state.finding is not None and state.finding.epoch == rows.tenant.epoch else None
    if finding is None:
        if _is_due(state.look_due, rows.now):
            return Decision(Look(serving))
        return _rest(rows, state, policy, wait=_until(state.look_due, rows.now))
    status = rows.tenant.status
    stopped = finding.present and not finding.running
    unwell = finding.healthy is False or not finding.present
    settled = rows.newest is not None and rows.newest.state is ExecutionState.SUCCEEDED
    may_heal = status is Status.DEGRADED and settled and rows.tenant.spec.heal == "restart" and not state.draining
    if stopped and state.restore_due is None:
        return Decision(RestoreServing(serving))
    if unwell and status is Status.READY:
        return Decision(MarkUnhealthy(finding.detail))
    if unwell and may_heal:
        if state.heals < policy.heal_budget:
            return Decision(Heal(finding.detail))
        if not _says(rows, ConditionType.HEALTHY, Reason.HEAL_BUDGET):
            return Decision(MarkBudgetSpent(f"{policy.heal_budget} heals did not last: {finding.detail}"))
    if stopped and _is_due(state.restore_due, rows.now):
        return Decision(RestoreServing(serving))
    if finding.healthy and status is Status.DEGRADED and finding.good >= _good_enough(serving, state):
        return Decision(MarkRecovered())
    if _is_due(state.finding_due, rows.now):
        return Decision(Look(serving))
    again = _until(state.finding_due, rows.now)
    in_doubt = (status is Status.READY and finding.bad > 0) or (status is Status.DEGRADED and finding.healthy)
    if (in_doubt or (unwell and may_heal)) and not state.draining:
        return Decision(None, again)  # whoever comes next would count from nothing, or come when nobody looks again
    return _rest(rows, state, policy, wait=again)


def _good_enough(serving: Execution, state: OwnerState) -> int:
    """Damping: who flaps must be well for longer, twice as many probes with each further degradation of late."""
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


def _planned(rows: TenantRows) -> bool:
    return any(step.name is StepName.PLAN and step.state is StepState.SUCCEEDED for step in rows.steps)


def _left_of_deadline(rows: TenantRows, active: Execution, policy: Policy) -> float:
    allowed = max(policy.deadline, active.spec.health.deadline_seconds)
    return allowed - (rows.now - (active.started_at or rows.now)).total_seconds()


def _deadline(rows: TenantRows, active: Execution, policy: Policy) -> float | None:
    """Seconds until it passes; None: it has, and does not stop this one."""
    left = _left_of_deadline(rows, active, policy)
    return left if left > 0 else None


def _silence(active: Execution, state: OwnerState, policy: Policy) -> Silence | None:
    """Of the engine of a delete that another engine could do: it has not taken it, or does not answer."""
    if active.action is not Action.DELETE or active.engine == policy.fallback:
        return None
    if active.state is not ExecutionState.STARTING:
        return state.silence if state.followed == active.id else None
    if active.error is None or active.started_at is None:
        return None
    return Silence(active.started_at, active.error)


def _sooner(one: float | None, other: float | None) -> float | None:
    given = [seconds for seconds in (one, other) if seconds is not None]
    return min(given, default=None)


def _is_due(at: datetime | None, now: datetime) -> bool:
    return at is None or at <= now


def _until(at: datetime | None, now: datetime) -> float:
    return max(0.0, ((at or now) - now) / timedelta(seconds=1))
