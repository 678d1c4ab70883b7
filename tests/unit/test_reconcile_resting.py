"""The pure decision for a tenant at rest, and for an owner whose place others want, rule by rule."""

from dataclasses import replace

import pytest

from controlplane.lifecycle import decisions
from controlplane.lifecycle.conditions import with_condition
from controlplane.lifecycle.owner_state import OwnerState, Policy
from controlplane.lifecycle.reconcile import reconcile
from controlplane.model import (
    Action,
    ConditionType,
    ExecutionState,
    Reason,
    Status,
    SubState,
)
from tests.unit.builders import FINE, NOW, POLICY, execution, following, placement, rows, seconds, served, tenant


class TestCrowded:
    """Others want the place: an owner leaves for each wait that the rows can bring back."""

    @staticmethod
    def hurried(**known: object) -> OwnerState:
        return OwnerState(hurried=True, worked_at=NOW, **known)  # type: ignore[arg-type]

    def test_a_delete_whose_next_run_is_not_due(self) -> None:
        delete = execution(ExecutionState.QUEUED, Action.DELETE, run=3, next_attempt_at=NOW + seconds(40))
        waits = rows(tenant(Status.DELETING, deletion_requested_at=NOW), delete)
        assert reconcile(waits, self.hurried(), POLICY).act == decisions.Passivate(40)
        assert reconcile(waits, OwnerState(worked_at=NOW), POLICY) == decisions.Decision(None, 40, durable=True)

    def test_what_is_left_on_a_platform_that_is_away(self) -> None:
        first, failed = (
            execution(ExecutionState.SUCCEEDED),
            execution(ExecutionState.FAILED, Action.UPDATE, generation=2),
        )
        owner = tenant(Status.FAILED, generation=2, serving_execution=first.id, newest_execution=failed.id)
        state = self.hurried(finding=replace(FINE, good=9), finding_due=NOW + seconds(9), clean_due=NOW + seconds(4))
        left = rows(owner, first, failed, placements=(placement(failed),))
        assert reconcile(left, state, POLICY).act == decisions.Passivate(10), "ten seconds at least"

    def test_a_start_that_an_engine_refused(self) -> None:
        refused = execution(ExecutionState.STARTING, error="down", next_attempt_at=NOW + seconds(30))
        act = reconcile(rows(tenant(Status.PLANNING), refused), self.hurried(), POLICY).act
        assert act == decisions.Passivate(30)

    def test_an_engine_outside_goes_on_without_its_owner(self) -> None:
        running = execution(ExecutionState.RUNNING, engine="restate", sub_state=SubState.RUNNING)
        state = replace(following(running.id, SubState.RUNNING), hurried=True)
        policy = replace(POLICY, fallback="embedded")
        assert reconcile(rows(tenant(Status.PROVISIONING), running), state, policy).act == decisions.Passivate(60)

    def test_the_engine_in_this_process_is_left_between_two_attempts_only(self) -> None:
        policy = replace(POLICY, fallback="embedded")
        owner, at = tenant(Status.PROVISIONING), NOW + seconds(20)
        works = execution(ExecutionState.RUNNING, sub_state=SubState.RUNNING)
        state = replace(following(works.id, SubState.RUNNING), hurried=True)
        assert reconcile(rows(owner, works), state, policy).act is None
        pauses = execution(ExecutionState.RUNNING, sub_state=SubState.BACKING_OFF, next_attempt_at=at)
        state = replace(following(works.id, SubState.BACKING_OFF, next_attempt_at=at), hurried=True)
        assert reconcile(rows(owner, pauses), state, policy).act == decisions.Passivate(20)

    def test_a_tenant_that_is_not_healthy_for_long(self) -> None:
        policy = replace(POLICY, fallback="embedded")
        for waited, act in ((59, None), (60, decisions.Passivate(60))):
            sick = execution(
                ExecutionState.RUNNING, sub_state=SubState.BACKING_OFF, started_at=NOW - seconds(waited), error="500"
            )
            state = replace(following(sick.id, SubState.BACKING_OFF, error="500"), hurried=True)
            assert reconcile(rows(tenant(Status.PROVISIONING), sick), state, policy).act == act

    def test_a_spent_heal_budget(self) -> None:
        owner, first = served(Status.DEGRADED)
        said = with_condition((), ConditionType.HEALTHY, "false", Reason.HEAL_BUDGET, NOW)
        state = self.hurried(finding=replace(FINE, healthy=False), finding_due=NOW + seconds(30), heals=5)
        act = reconcile(rows(replace(owner, conditions=said), first), state, POLICY).act
        assert act == decisions.Passivate(30)

    def test_an_owner_in_doubt_stays(self) -> None:
        owner, first = served()
        state = self.hurried(finding=replace(FINE, healthy=None, bad=1), finding_due=NOW + seconds(9))
        assert reconcile(rows(owner, first), state, POLICY) == decisions.Decision(None, 9)

    def test_an_owner_that_looks_stays_until_it_has_seen(self) -> None:
        owner, first = served()
        state = self.hurried(looking=True, look_due=NOW + seconds(5))
        assert reconcile(rows(owner, first), state, POLICY).act is None


class TestKeeping:
    def test_a_resting_tenant_is_looked_at(self) -> None:
        owner, first = served()
        assert reconcile(rows(owner, first), OwnerState(worked_at=NOW), POLICY).act == decisions.Look(first)

    def test_a_finding_from_before_an_execution_is_void(self) -> None:
        owner, first = served(epoch=2)
        gone = replace(FINE, present=False, healthy=False)
        assert reconcile(rows(owner, first), OwnerState(finding=gone, worked_at=NOW), POLICY).act == decisions.Look(
            first
        )

    def test_what_is_there_and_does_not_run_is_started_again_whatever_the_status(self) -> None:
        for status in (Status.READY, Status.FAILED, Status.DEGRADED):
            owner, first = served(status)
            stopped = replace(FINE, running=False, healthy=False)
            view = OwnerState(finding=stopped, worked_at=NOW)
            assert reconcile(rows(owner, first), view, POLICY).act == decisions.RestoreServing(first)

    def test_what_stops_again_and_again_is_degraded_and_healed(self) -> None:
        stopped = replace(FINE, running=False, healthy=False, detail="exited", bad=3)
        view = OwnerState(finding=stopped, restore_due=NOW, worked_at=NOW)
        owner, first = served(Status.READY)
        assert reconcile(rows(owner, first), view, POLICY).act == decisions.MarkUnhealthy("exited")
        owner, first = served(Status.DEGRADED)
        assert reconcile(rows(owner, first), view, POLICY).act == decisions.Heal(first, "exited")
        said = with_condition((), ConditionType.HEALTHY, "false", Reason.HEAL_BUDGET, NOW)
        spent = rows(replace(owner, conditions=said), first)
        assert reconcile(spent, replace(view, heals=5), POLICY).act == decisions.RestoreServing(first)

    def test_an_owner_in_doubt_does_not_passivate(self) -> None:
        owner, first = served()
        view = OwnerState(finding_due=NOW + seconds(9), worked_at=NOW - seconds(100))
        doubtful = replace(view, finding=replace(FINE, healthy=None, bad=1))
        assert reconcile(rows(owner, first), doubtful, POLICY) == decisions.Decision(None, 9)
        assert reconcile(rows(owner, first), replace(view, finding=FINE), POLICY).act == decisions.Passivate()

    def test_an_owner_that_cannot_look_tries_later_and_may_passivate(self) -> None:
        owner, first = served()
        view = OwnerState(look_due=NOW + seconds(5), worked_at=NOW)
        assert reconcile(rows(owner, first), view, POLICY) == decisions.Decision(None, 5)
        assert reconcile(rows(owner, first, now=NOW + seconds(5)), view, POLICY).act == decisions.Look(first)
        idle = replace(view, worked_at=NOW - seconds(100))
        assert reconcile(rows(owner, first), idle, POLICY).act == decisions.Passivate()

    def test_an_unhealthy_tenant_is_degraded_then_healed(self) -> None:
        sick = OwnerState(finding=replace(FINE, healthy=False, detail="500"), worked_at=NOW)
        owner, first = served(Status.READY)
        assert reconcile(rows(owner, first), sick, POLICY).act == decisions.MarkUnhealthy("500")
        owner, first = served(Status.DEGRADED)
        assert reconcile(rows(owner, first), sick, POLICY).act == decisions.Heal(first, "500")

    def test_a_tenant_that_is_not_to_be_healed_stays_degraded(self) -> None:
        owner, first = served(Status.DEGRADED)
        first = replace(first, spec=first.spec.model_copy(update={"heal": "none"}))
        view = OwnerState(finding=replace(FINE, healthy=False), finding_due=NOW + seconds(9), worked_at=NOW)
        assert reconcile(rows(owner, first), view, POLICY).act is None

    def test_what_its_platform_brings_back_is_degraded_and_not_healed(self) -> None:
        finding = replace(FINE, healthy=False, recovering=True, detail="9 of 10 tasks run")
        view = OwnerState(finding=finding, finding_due=NOW + seconds(9), worked_at=NOW)
        owner, first = served(Status.READY)
        assert reconcile(rows(owner, first), view, POLICY).act == decisions.MarkUnhealthy("9 of 10 tasks run")
        owner, first = served(Status.DEGRADED)
        assert reconcile(rows(owner, first), view, POLICY) == decisions.Decision(None, 9)
        well = replace(view, finding=FINE)
        assert reconcile(rows(owner, first), well, POLICY).act == decisions.MarkRecovered()

    def test_the_heal_budget_ends_healing(self) -> None:
        owner, first = served(Status.DEGRADED)
        view = OwnerState(finding=replace(FINE, healthy=False), finding_due=NOW + seconds(9), heals=5, worked_at=NOW)
        assert isinstance(reconcile(rows(owner, first), view, POLICY).act, decisions.MarkBudgetSpent)
        said = with_condition((), ConditionType.HEALTHY, "false", Reason.HEAL_BUDGET, NOW)
        assert reconcile(rows(replace(owner, conditions=said), first), view, POLICY).act is None
        idle = replace(view, worked_at=NOW - seconds(100))
        waits = reconcile(rows(replace(owner, conditions=said), first), idle, POLICY)
        assert waits == decisions.Decision(None, 9), "until the window is over, when it heals again"

    def test_what_serves_is_healed_from_its_own_snapshot_though_the_newest_failed(self) -> None:
        first = execution(ExecutionState.SUCCEEDED)
        failed = execution(ExecutionState.FAILED, Action.UPDATE, generation=2, error="no such image")
        owner = tenant(
            Status.FAILED, generation=2, serving_execution=first.id, newest_execution=failed.id, observed_generation=1
        )
        gone = replace(FINE, present=False, healthy=False, detail="it is gone")
        state = OwnerState(finding=gone, finding_due=NOW + seconds(9), worked_at=NOW)
        both = "it is gone; generation 2 failed: no such image"
        assert reconcile(rows(owner, first, failed), state, POLICY).act == decisions.MarkUnhealthy(both)
        degraded = rows(replace(owner, status=Status.DEGRADED), first, failed)
        assert reconcile(degraded, state, POLICY).act == decisions.Heal(first, both)
        well = replace(state, finding=replace(FINE, good=2))
        assert reconcile(degraded, well, POLICY).act == decisions.MarkKept("no such image")

    def test_a_heal_that_failed_is_no_obstacle_once_the_newest_generation_is_well(self) -> None:
        first = execution(ExecutionState.SUCCEEDED)
        failed = execution(ExecutionState.FAILED, Action.UPDATE, run=2)
        owner = tenant(Status.FAILED, serving_execution=first.id, newest_execution=failed.id, observed_generation=1)
        well = OwnerState(finding=replace(FINE, good=2), finding_due=NOW + seconds(9), worked_at=NOW)
        assert reconcile(rows(owner, first, failed), well, POLICY).act == decisions.MarkRecovered()

    @pytest.mark.parametrize(("degradations", "enough"), [(1, 2), (2, 4), (3, 8), (5, 32), (9, 32)])
    def test_who_flaps_must_be_well_for_longer(self, degradations: int, enough: int) -> None:
        owner, first = served(Status.DEGRADED)
        health = first.spec.health.model_copy(update={"healthy_threshold": 2})
        first = replace(first, spec=first.spec.model_copy(update={"health": health}))
        view = OwnerState(finding_due=NOW + seconds(9), worked_at=NOW - seconds(100), degradations=degradations)
        not_yet = replace(view, finding=replace(FINE, good=enough - 1))
        assert reconcile(rows(owner, first), not_yet, POLICY) == decisions.Decision(None, 9), (
            "and it does not passivate"
        )
        well = replace(view, finding=replace(FINE, good=enough))
        assert reconcile(rows(owner, first), well, POLICY).act == decisions.MarkRecovered()

    def test_a_recovered_tenant_is_ready_again(self) -> None:
        owner, first = served(Status.DEGRADED)
        assert (
            reconcile(rows(owner, first), OwnerState(finding=FINE, worked_at=NOW), POLICY).act
            == decisions.MarkRecovered()
        )


class TestLeaving:
    def test_a_deleted_tenant_has_no_actor(self) -> None:
        assert reconcile(rows(tenant(Status.DELETED)), OwnerState(), POLICY).act == decisions.Leave()

    def test_an_idle_actor_passivates(self) -> None:
        owner, first = served()
        view = OwnerState(finding=FINE, finding_due=NOW + seconds(100), worked_at=NOW)
        at_rest = rows(owner, first, now=NOW + seconds(59))
        assert reconcile(at_rest, view, POLICY) == decisions.Decision(None, 1)
        assert reconcile(replace(at_rest, now=NOW + seconds(60)), view, POLICY).act == decisions.Passivate()

    def test_never_means_never(self) -> None:
        owner, first = served()
        view = OwnerState(finding=FINE, finding_due=NOW + seconds(10**5 + 10), worked_at=NOW)
        decision = reconcile(rows(owner, first, now=NOW + seconds(10**5)), view, Policy(idle=None, deadline=600))
        assert decision.act is None

    def test_a_draining_cluster_promotes_nothing(self) -> None:
        assert reconcile(rows(tenant(), execution()), OwnerState(draining=True), POLICY).act == decisions.Passivate()
