"""The decisions of an owner about what is on other machines of the cluster."""

from dataclasses import replace
from typing import Any

import pytest

from controlplane.lifecycle import decisions
from controlplane.lifecycle.owner_state import OwnerState
from controlplane.lifecycle.reconcile import reconcile
from controlplane.model import (
    Action,
    Condition,
    ConditionType,
    Execution,
    ExecutionState,
    Node,
    PlacementSpec,
    Reason,
    Status,
    StopCause,
    TenantRows,
)
from controlplane.model.nodes import away, of_others, silent
from tests.unit.builders import NOW, POLICY, execution, placement, rows, seconds, tenant

GRACE = 300.0
HERE = replace(POLICY, node="a", node_grace=GRACE)


def node(name: str, *, dead: float | None = None, **more: Any) -> Node:
    """`dead`: for so many seconds."""
    return Node(
        name=name,
        address="10.0.0.1",
        alive=dead is None,
        since=NOW - seconds(dead or 0),
        cpus=2.0,
        **{"head": name == "a", "labels": {}, "platforms": {"fake": name}, "cluster_id": "c", **more},
    )


A, B, C = node("a"), node("b"), node("c")
SILENT, LOST = node("b", dead=30), node("b", dead=GRACE)


def on_b(state: ExecutionState = ExecutionState.SUCCEEDED, **more: Any) -> Execution:
    return execution(state, node="b", **more)


def world(status: Status, *executions: Execution, nodes: tuple[Node, ...], **values: Any) -> TenantRows:
    """The first one serves if it has succeeded; each that is over has a placement."""
    first = executions[0]
    serving = first.id if first.state is ExecutionState.SUCCEEDED else None
    placed = tuple(
        replace(placement(one), node=one.node) for one in executions if one.state is not ExecutionState.QUEUED
    )
    of = tenant(status, serving_execution=serving, newest_execution=executions[-1].id, **values)
    return replace(rows(of, *executions), placements=placed, nodes=nodes)


def told(type: ConditionType, of: Node) -> tuple[Condition, ...]:
    return (Condition(type, "true", Reason.NODE_LOST, silent(of), NOW),)


def act(look: TenantRows, policy: Any = HERE, state: OwnerState | None = None) -> Any:
    return reconcile(look, state or OwnerState(), policy).act


def test_what_is_away() -> None:
    assert away("b", "a", [A, B]) == B
    assert away("a", "a", [A, B]) is None
    assert away(None, "a", [A, B]) is None
    assert away("b", None, [A, B]) is None
    assert away("gone", "a", [A, B]) is None
    # The machine of this head had another name before.
    assert away("old", "a", [A, node("old", head=True, dead=5)]) is None


def test_what_a_machine_of_another_cluster_holds_is_its_own() -> None:
    theirs = node("b", cluster_id="another")
    assert away("b", "a", [A, theirs]) == theirs
    assert of_others([A, theirs], "c", {"a"}) == {"b"}
    assert of_others([A, B, node("d", cluster_id="another", dead=5)], "c", {"a", "b"}) == set()


def test_one_machine_with_a_node_in_each_of_two_clusters_is_both_clusters_own() -> None:
    again = node("a2", cluster_id="another", platforms={"fake": "a"})
    assert away("a2", "a", [A, again]) is None
    assert of_others([A, again], "c", {"a"}) == set()
    # They have one name, and the other cluster was the last to see it.
    assert of_others([node("a", cluster_id="another")], "c", {"a"}) == set()


def test_an_owner_leaves_what_another_living_machine_is_to_do() -> None:
    passivate = decisions.Passivate()
    assert act(world(Status.REQUESTED, on_b(ExecutionState.QUEUED), nodes=(A, B))) == passivate
    assert act(world(Status.PROVISIONING, on_b(ExecutionState.RUNNING), nodes=(A, B))) == passivate
    assert act(world(Status.READY, on_b(), nodes=(A, B))) == passivate


def test_on_one_machine_nothing_is_elsewhere() -> None:
    queued = on_b(ExecutionState.QUEUED)
    assert act(world(Status.REQUESTED, queued, nodes=(A, B)), POLICY) == decisions.Promote(queued)
    assert act(world(Status.REQUESTED, queued, nodes=()), HERE) == decisions.Promote(queued)


def test_what_serves_on_a_silent_machine_is_told_as_lost_and_not_healed() -> None:
    look = world(Status.READY, on_b(), nodes=(A, SILENT))
    assert act(look) == decisions.MarkLost(silent(SILENT))
    told_so = replace(look.tenant, status=Status.DEGRADED, conditions=told(ConditionType.HEALTHY, SILENT))
    assert not isinstance(act(replace(look, tenant=told_so)), decisions.Heal | decisions.MarkLost | decisions.Look)
    ill = replace(look.tenant, status=Status.DEGRADED)
    assert act(replace(look, tenant=ill)) == decisions.MarkLost(silent(SILENT))


@pytest.mark.parametrize("heal", ["restart", "none"])
def test_after_the_grace_it_is_made_elsewhere_if_it_is_healed_at_all(heal: str) -> None:
    serving = on_b()
    serving = replace(serving, spec=serving.spec.model_copy(update={"heal": heal}))
    conditions = told(ConditionType.HEALTHY, LOST)
    found = act(world(Status.DEGRADED, serving, nodes=(A, LOST), conditions=conditions))
    if heal == "none":
        assert not isinstance(found, decisions.Heal)
    else:
        assert found == decisions.Heal(serving, f"{silent(LOST)}, and is lost", ("b",))


def test_it_is_not_made_elsewhere_if_the_grace_has_no_end_or_no_node_fits() -> None:
    conditions = told(ConditionType.HEALTHY, LOST)
    look = world(Status.DEGRADED, on_b(), nodes=(A, LOST), conditions=conditions)
    assert not isinstance(act(look, replace(HERE, node_grace=None)), decisions.Heal)
    pinned = replace(on_b(), spec=on_b().spec.model_copy(update={"placement": PlacementSpec(node="b")}))
    assert not isinstance(act(world(Status.DEGRADED, pinned, nodes=(A, LOST), conditions=conditions)), decisions.Heal)
    away_too = (node("a", platforms={}), LOST)
    assert not isinstance(act(world(Status.DEGRADED, on_b(), nodes=away_too, conditions=conditions)), decisions.Heal)


def test_work_of_a_silent_machine_waits_and_says_so_once() -> None:
    for state in (ExecutionState.QUEUED, ExecutionState.RUNNING):
        waiting = on_b(state)
        look = world(Status.PROVISIONING, waiting, nodes=(A, SILENT))
        assert act(look) == decisions.TellLost(waiting, silent(SILENT))
        said = replace(look.tenant, conditions=told(ConditionType.WAITING, SILENT))
        decision = reconcile(replace(look, tenant=said), OwnerState(), HERE)
        assert decision == decisions.Decision(None, 30.0)
        assert decision.durable


def test_what_no_engine_has_met_is_placed_again_after_the_grace() -> None:
    queued = on_b(ExecutionState.QUEUED)
    assert act(world(Status.REQUESTED, queued, nodes=(A, LOST))) == decisions.PlaceAgain(queued, "a")


@pytest.mark.parametrize("state", [ExecutionState.STARTING, ExecutionState.RUNNING])
def test_what_a_lost_machine_was_making_is_made_elsewhere(state: ExecutionState) -> None:
    running, why = on_b(state), f"{silent(LOST)}, and is lost"
    look = world(Status.PROVISIONING, running, nodes=(A, LOST))
    assert act(look) == decisions.RunElsewhere(running, why, ("b",))
    # Its next run waits then, as a newer spec may: either takes its place.
    again = replace(look, executions=(running, execution(ExecutionState.QUEUED, run=2, node="a")))
    assert act(again) == decisions.Stop(running, StopCause.SUPERSEDED, why)


def test_what_a_lost_machine_was_making_fails_if_no_other_one_takes_it() -> None:
    running, why = on_b(ExecutionState.RUNNING), f"{silent(LOST)}, and is lost"
    look = world(Status.PROVISIONING, running, nodes=(node("a", platforms={}), LOST))
    assert act(look) == decisions.Stop(running, StopCause.DEADLINE, why)
    older = world(Status.PROVISIONING, running, nodes=(A, LOST))
    older = replace(older, tenant=replace(older.tenant, newest_execution="another"))
    assert act(older) == decisions.Stop(running, StopCause.DEADLINE, why)


def test_a_delete_waits_for_the_grace_and_goes_on_without_the_lost_machine() -> None:
    deleting = on_b(ExecutionState.QUEUED, action=Action.DELETE, generation=2)
    serving = on_b()
    requested = {"deletion_requested_at": NOW}
    silent_one = world(Status.DELETING, serving, deleting, nodes=(A, SILENT), **requested)
    assert act(silent_one) == decisions.TellLost(deleting, silent(SILENT))
    assert act(world(Status.DELETING, serving, deleting, nodes=(A, LOST), **requested)) == decisions.Promote(deleting)


def test_leftovers_of_other_machines_are_left_to_them() -> None:
    serving, failed = execution(ExecutionState.SUCCEEDED, node="a"), on_b(ExecutionState.FAILED, generation=2)
    for there in (B, SILENT, LOST):
        found = act(world(Status.FAILED, serving, failed, nodes=(A, there)))
        assert not isinstance(found, decisions.Clean)
    ours = replace(failed, node="a")
    assert isinstance(act(world(Status.FAILED, serving, ours, nodes=(A, B))), decisions.Clean)
