"""The decision while an execution is active: start it, follow it, stop it, end it. Part of `reconcile`, and pure."""

from math import inf

from controlplane.lifecycle.decisions import (
    AdvancePlanned,
    Clean,
    Decision,
    Finish,
    Follow,
    HandOver,
    RecordProgress,
    Start,
    Stop,
    TellWait,
)
from controlplane.lifecycle.drains import drain_left
from controlplane.lifecycle.due import is_due, sooner, until
from controlplane.lifecycle.owner_state import OwnerState, Policy, Silence
from controlplane.lifecycle.waits import patience, says_so, waiting_step
from controlplane.model import (
    Action,
    Execution,
    ExecutionState,
    Placement,
    Status,
    StepName,
    StepState,
    StopCause,
    SubState,
    TenantRows,
)
from controlplane.ports import ExecutionStatus

STOP_SECONDS = 30.0
"""If the engine of a stopping execution does not answer, the execution is ended after this time. The guarantee is the
gate, not the wait."""

UNHEALTHY_SECONDS = 60.0
"""If other tenants want its place, an owner waits this long for a tenant whose probe fails, before it leaves for a
while."""

NO_SWITCH = "the engine says that it succeeded, but nothing it made serves"
NOT_GONE = "the engine says that it succeeded, but resources of the tenant are recorded still"


def drive(
    rows: TenantRows, active: Execution, left: tuple[Placement, ...], state: OwnerState, policy: Policy
) -> Decision:
    """The first matching rule decides. `left`: placements of executions that have ended and do not serve.

    1. It has switched: see `_after_switch`.
    2. The engine is done with it: end it.
    3. It is stopping: end it when the engine has forgotten it, or after STOP_SECONDS.
    4. There is a reason to stop it: a cancel, its deadline, a successor.
    5. The engine of a delete is silent for too long: hand the delete over.
    6. It has not started: start it when that is due.
    7. It is not followed: follow it.
    8. The engine has not reported yet: wait.
    9. The engine does not know it: start it again.
    10. The engine gave up: stop it.
    11. Its first step is done: move the status on.
    12. It waits for something outside, or no longer: say so.
    13. The engine has news: record it. Else wait.
    """
    reported = state.reported if state.followed == active.id else None
    if rows.tenant.serving_execution == active.id:
        return _after_switch(rows, active, reported, left, state, policy)  # 1
    if reported is not None and reported.sub_state.terminal:
        return Decision(_ending(rows, active, reported))  # 2
    if active.state is ExecutionState.STOPPING:
        waited = (rows.now - (active.stop_requested_at or rows.now)).total_seconds()
        if waited >= STOP_SECONDS or (reported is not None and reported.sub_state is SubState.UNKNOWN):
            return Decision(_stopped(active))  # 3
        if state.followed != active.id:
            return Decision(Follow(active))
        return Decision(None, STOP_SECONDS - waited)
    stop = _reason_to_stop(rows, active, reported, policy)
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
        if is_due(active.next_attempt_at, rows.now):
            return Decision(Start(active))  # 6
        return Decision(None, sooner(until(active.next_attempt_at, rows.now), hand_over), durable=True)
    decision = _followed(rows, active, reported, state)
    if decision.act is None:
        wait = sooner(decision.look_again, _deadline(rows, active, policy), hand_over)
        return _waiting(rows, active, reported, state, policy, wait)
    return decision


def _waiting(
    rows: TenantRows,
    active: Execution,
    reported: ExecutionStatus | None,
    state: OwnerState,
    policy: Policy,
    wait: float | None,
) -> Decision:
    """An engine outside continues by itself. An engine in this process (the fallback) ends with its owner. So an owner
    may leave it only between two attempts, or when the tenant that it waits for has not been healthy for long. The
    duration of an engine's silence is only in the owner's memory, so it ends the wait if it counts."""
    if state.silence is not None:
        return Decision(None, wait)
    if active.engine != policy.fallback:
        return Decision(None, wait, durable=reported is not None)
    if reported is None or reported.sub_state is not SubState.BACKING_OFF:
        return Decision(None, wait)
    if reported.next_attempt_at is not None:
        return Decision(None, sooner(wait, until(reported.next_attempt_at, rows.now)), durable=True)
    begun = (rows.now - (active.started_at or rows.now)).total_seconds()
    return Decision(None, wait, durable=begun >= UNHEALTHY_SECONDS)


def _followed(rows: TenantRows, active: Execution, reported: ExecutionStatus | None, state: OwnerState) -> Decision:
    """The engine has the execution and works on it: rules 7 to 13. After the switch an engine that gave up is no longer
    asked, so rule 10 meets executions before it only."""
    if state.followed != active.id:
        return Decision(Follow(active))  # 7
    if reported is None:
        return Decision(None)  # 8
    if reported.sub_state is SubState.UNKNOWN:
        # The engine has never heard of the execution, or (embedded) lost it with its owner: start the same id again.
        if is_due(state.start_due, rows.now):
            return Decision(Start(active))  # 9
        return Decision(None, until(state.start_due, rows.now))
    if reported.sub_state is SubState.ERROR:
        return Decision(Stop(active, StopCause.DEADLINE, reported.error or "the engine gave up"))  # 10
    if rows.tenant.status is Status.PLANNING and _succeeded(rows, StepName.PLAN):
        return Decision(AdvancePlanned(active))  # 11
    waiting = waiting_step(rows)
    if not says_so(rows.tenant.conditions, waiting):
        return Decision(TellWait(active, waiting))  # 12
    if (reported.sub_state, reported.retry_count, reported.error, reported.next_attempt_at) != (
        active.sub_state,
        active.retry_count,
        active.error,
        active.next_attempt_at,
    ):
        return Decision(RecordProgress(active, reported))  # 13
    return Decision(None)


def _after_switch(
    rows: TenantRows,
    active: Execution,
    reported: ExecutionStatus | None,
    left: tuple[Placement, ...],
    state: OwnerState,
    policy: Policy,
) -> Decision:
    """Its resource serves, so it can only succeed, and the engine is no longer needed. If the engine has ended it, gave
    up on it, lost it or is silent, the owner does the rest: it removes the replaced resource and then ends the
    execution. So `ready` means on every engine that the replaced resource is gone. A successor takes over resources
    that cannot be removed."""
    silent = state.silence if state.followed == active.id else None
    patience = None
    if silent is not None:
        patience = policy.engine_silence - (rows.now - silent.since).total_seconds()
    done = reported is not None and reported.sub_state.terminal
    gave_up = reported is not None and reported.sub_state is SubState.ERROR
    over = done or gave_up or (patience is not None and patience <= 0)
    if _successor(rows) is not None and (over or _backs_off(reported)):
        return Decision(Finish(active, ExecutionState.SUCCEEDED, ""))
    if not over:
        if active.state is ExecutionState.STARTING:  # its start was never recorded
            if is_due(active.next_attempt_at, rows.now):
                return Decision(Start(active))
            return Decision(None, until(active.next_attempt_at, rows.now))
        decision = _followed(rows, active, reported, state)
        if decision.act is not None:
            return decision
        return _waiting(rows, active, reported, state, policy, sooner(decision.look_again, patience))
    drain = drain_left(rows)
    if not left and drain is None:
        return Decision(Finish(active, ExecutionState.SUCCEEDED, ""))
    if not left:
        return Decision(None, drain, durable=True)
    if is_due(state.clean_due, rows.now):
        return Decision(Clean(left))
    return Decision(None, until(state.clean_due, rows.now), durable=True)


def _reason_to_stop(
    rows: TenantRows, active: Execution, reported: ExecutionStatus | None, policy: Policy
) -> Stop | None:
    """The overlap policy: a delete supersedes at once; a newer spec supersedes only an execution that is backing
    off."""
    if active.cancel_requested_at is not None:
        return Stop(active, StopCause.CANCELLED, "cancelled by request")
    if _left_of_deadline(rows, active, policy) <= 0 and active.action is not Action.DELETE:
        return Stop(active, StopCause.DEADLINE, f"not finished after {policy.deadline:g} s")
    if _left_of_wait(rows, active, policy) <= 0 and active.action is not Action.DELETE:
        waits = waiting_step(rows)
        why = waits.error if waits is not None else None
        return Stop(active, StopCause.DEADLINE, f"not there after {patience(active, policy):g} s: {why}")
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
    """The execution that waits for the active one to end, unless it is cancelled already."""
    return rows.queued if rows.queued is not None and rows.queued.cancel_requested_at is None else None


def _backs_off(reported: ExecutionStatus | None) -> bool:
    return reported is not None and reported.sub_state in (SubState.BACKING_OFF, SubState.ERROR)


def _ending(rows: TenantRows, active: Execution, reported: ExecutionStatus) -> Finish:
    """The end of an execution whose engine is done with it, and which has not switched.

    The rows decide the outcome, not the engine. The engine may report on another life of the same id, from before the
    database was restored to an earlier moment."""
    if active.action is Action.DELETE and reported.sub_state is SubState.SUCCEEDED:
        if rows.placements:
            return Finish(active, ExecutionState.FAILED, NOT_GONE)
        return Finish(active, ExecutionState.SUCCEEDED, "")
    if active.state is ExecutionState.STOPPING:
        return _stopped(active)
    if reported.sub_state is SubState.SUCCEEDED and active.in_place and _succeeded(rows, StepName.WAIT_HEALTHY):
        return Finish(active, ExecutionState.SUCCEEDED, "")
    if reported.sub_state is SubState.SUCCEEDED:
        return Finish(active, ExecutionState.FAILED, NO_SWITCH)
    if reported.sub_state is SubState.CANCELLED:
        return Finish(active, ExecutionState.CANCELLED, reported.error or "cancelled at the engine")
    return Finish(active, ExecutionState.FAILED, reported.error or "failed at the engine without a message")


def _stopped(active: Execution) -> Finish:
    """The end of an execution that we stopped: the cause of the stop decides."""
    outcome = {
        StopCause.CANCELLED: ExecutionState.CANCELLED,
        StopCause.DEADLINE: ExecutionState.FAILED,
    }.get(active.stop_cause or StopCause.SUPERSEDED, ExecutionState.SUPERSEDED)
    reason = active.stop_reason or ""
    if outcome is ExecutionState.FAILED and active.error and active.error not in reason:
        reason = f"{reason}: {active.error}"
    return Finish(active, outcome, reason)


def _succeeded(rows: TenantRows, name: StepName) -> bool:
    return any(step.name is name and step.state is StepState.SUCCEEDED for step in rows.steps)


def _left_of_deadline(rows: TenantRows, active: Execution, policy: Policy) -> float:
    allowed = max(policy.deadline, active.spec.health.deadline_seconds)
    return allowed - (rows.now - (active.started_at or rows.now)).total_seconds()


def _left_of_wait(rows: TenantRows, active: Execution, policy: Policy) -> float:
    """Seconds for which the step that waits for something outside may go on. Endless if none does."""
    step = waiting_step(rows)
    if step is None or rows.tenant.serving_execution == active.id:
        return inf
    return patience(active, policy) - (rows.now - (step.started_at or rows.now)).total_seconds()


def _deadline(rows: TenantRows, active: Execution, policy: Policy) -> float | None:
    """Seconds until the next deadline passes, that of the execution or that of its wait. None: they have passed and do
    not stop this execution."""
    ahead = (_left_of_deadline(rows, active, policy), _left_of_wait(rows, active, policy))
    return min((left for left in ahead if left > 0), default=None)


def _silence(active: Execution, state: OwnerState, policy: Policy) -> Silence | None:
    """The silence of a delete's engine: it has not taken the delete, or does not answer. Only if another engine could
    do it."""
    if active.action is not Action.DELETE or active.engine == policy.fallback:
        return None
    if active.state is not ExecutionState.STARTING:
        return state.silence if state.followed == active.id else None
    if active.error is None or active.started_at is None:
        return None
    return Silence(active.started_at, active.error)
