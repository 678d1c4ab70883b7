"""The decisions of an owner about what belongs to other machines of the cluster. Pure.

An owner acts on its own machine's platforms only. What another living machine is to do, its owner there does: this one
leaves. A machine that is silent is not dead, so what it was to do waits, and what serves there is told as lost; only
after the grace it is made anew elsewhere, as a later run. What the silent one still holds is left over then.
"""

from controlplane.lifecycle import placing
from controlplane.lifecycle.decisions import (
    Decision,
    Heal,
    MarkLost,
    Passivate,
    PlaceAgain,
    RunElsewhere,
    Stop,
    TellLost,
)
from controlplane.lifecycle.due import sooner
from controlplane.lifecycle.owner_state import OwnerState, Policy
from controlplane.model import (
    Action,
    ConditionType,
    Execution,
    ExecutionState,
    Node,
    Placement,
    Reason,
    Status,
    StopCause,
    TenantRows,
)
from controlplane.model.nodes import away, is_lost, left_of_grace, silent

LOOK_AGAIN = 30.0
"""Seconds after which an owner that waits for a silent machine reads the rows again."""


def is_elsewhere(rows: TenantRows, placement: Placement, policy: Policy) -> bool:
    """Another machine removes this, whatever becomes of it."""
    return away(placement.node, policy.node, rows.nodes) is not None


def work(rows: TenantRows, execution: Execution, policy: Policy) -> Decision | None:
    """The decision about an unfinished execution that another machine is to run. None: it is ours to run; also the
    delete of what is on a machine that is lost for good."""
    there = away(execution.node, policy.node, rows.nodes)
    if there is None:
        return None
    if there.alive:
        return Decision(Passivate())
    lost = is_lost(there, rows.now, policy.node_grace)
    if lost and execution.action is Action.DELETE:
        return None
    if execution.state is ExecutionState.STOPPING:
        return None  # it only ends
    serves = rows.tenant.serving_execution == execution.id
    if lost and execution.state is ExecutionState.QUEUED:
        node = _another(rows, execution, there)
        if node is not None:
            return Decision(PlaceAgain(execution, node))
    elif lost and not serves:
        return _given_up(rows, execution, there)
    elif lost:
        return None  # it has switched, so it only ends
    message = silent(there)
    if not _says(rows, ConditionType.WAITING, message):
        return Decision(TellLost(execution, message))
    return Decision(None, _wait(rows, there, policy), durable=True)


def _given_up(rows: TenantRows, execution: Execution, there: Node) -> Decision:
    """What a lost machine was making: its next run, elsewhere, takes its place. A newer spec that waits does, too. It
    fails if no other machine takes it, or if the newest generation is another one by now."""
    reason = f"{silent(there)}, and is lost"
    if rows.queued is not None:
        return Decision(Stop(execution, StopCause.SUPERSEDED, reason))
    newest = execution.id == rows.tenant.newest_execution
    if newest and execution.cancel_requested_at is None and _another(rows, execution, there) is not None:
        return Decision(RunElsewhere(execution, reason, (there.name,)))
    return Decision(Stop(execution, StopCause.DEADLINE, reason))


def kept(rows: TenantRows, serving: Execution, state: OwnerState, policy: Policy) -> Decision | None:
    """The decision about what serves on another machine, while nothing is under way. None: it is ours to keep, or all
    that can be done is to wait."""
    there = serving_node(rows, serving, policy)
    if there is None:
        return None
    if there.alive:
        return Decision(Passivate())
    message = silent(there)
    if rows.tenant.status in (Status.READY, Status.FAILED) or not _says(rows, ConditionType.HEALTHY, message):
        return Decision(MarkLost(message))
    if not is_lost(there, rows.now, policy.node_grace) or serving.spec.heal != "restart" or state.draining:
        return None
    if state.heals < policy.heal_budget and _another(rows, serving, there) is not None:
        return Decision(Heal(serving, f"{message}, and is lost", (there.name,)))
    return None


def serving_node(rows: TenantRows, serving: Execution, policy: Policy) -> Node | None:
    """The other machine that has what serves. None: it is ours."""
    placed = next((one for one in rows.placements if one.execution_id == serving.id), None)
    return None if placed is None else away(placed.node, policy.node, rows.nodes)


def _another(rows: TenantRows, execution: Execution, lost: Node) -> str | None:
    """A node that can take it instead. The final choice, for a heal, counts tenants too."""
    key = str(rows.tenant.id)
    return placing.choose(rows.nodes, execution.spec, execution.engine, key=key, without={lost.name})


def _wait(rows: TenantRows, there: Node, policy: Policy) -> float:
    left = left_of_grace(there, rows.now, policy.node_grace)
    return sooner(LOOK_AGAIN, left if left is not None and left > 0 else None) or LOOK_AGAIN


def _says(rows: TenantRows, type: ConditionType, message: str) -> bool:
    return any(
        one.type == type and one.reason == Reason.NODE_LOST and one.message == message for one in rows.tenant.conditions
    )
