"""The pure decision, rule by rule."""

from dataclasses import replace

import pytest

from controlplane.lifecycle import decisions
from controlplane.lifecycle.drive import NO_SWITCH, NOT_GONE
from controlplane.lifecycle.owner_state import OwnerState, Silence
from controlplane.lifecycle.reconcile import reconcile
from controlplane.model import (
    Action,
    ExecutionState,
    Status,
    Step,
    StepName,
    StepState,
    StopCause,
    SubState,
)
from tests.unit.builders import FINE, NOW, POLICY, execution, following, placement, rows, seconds, served, tenant


class TestDriving:
    def test_a_queued_execution_is_promoted(self) -> None:
        queued = execution()
        assert reconcile(rows(tenant(), queued), OwnerState(), POLICY).act == decisions.Promote(queued)

    def test_a_queued_execution_waits_for_its_next_attempt(self) -> None:
        queued = execution(action=Action.DELETE, next_attempt_at=NOW + seconds(7))
        decision = reconcile(rows(tenant(Status.DELETING), queued), OwnerState(), POLICY)
        assert decision == decisions.Decision(None, 7)

    def test_a_starting_execution_is_started_at_its_engine(self) -> None:
        starting = execution(ExecutionState.STARTING)
        assert reconcile(rows(tenant(Status.PLANNING), starting), OwnerState(), POLICY).act == decisions.Start(starting)

    def test_a_refused_start_is_tried_again_with_the_same_id_at_its_time(self) -> None:
        starting = execution(ExecutionState.STARTING, error="engine down", next_attempt_at=NOW + seconds(3))
        before = reconcile(rows(tenant(Status.PLANNING), starting), OwnerState(), POLICY)
        assert before == decisions.Decision(None, 3)
        after = reconcile(rows(tenant(Status.PLANNING), starting, now=NOW + seconds(3)), OwnerState(), POLICY)
        assert after.act == decisions.Start(starting)

    def test_a_new_owner_follows_a_running_execution(self) -> None:
        running = execution(ExecutionState.RUNNING)
        assert reconcile(rows(tenant(Status.PLANNING), running), OwnerState(), POLICY).act == decisions.Follow(running)

    def test_an_execution_that_its_engine_does_not_know_is_started_again(self) -> None:
        running = execution(ExecutionState.RUNNING)
        view = following(running.id, SubState.UNKNOWN)
        assert reconcile(rows(tenant(Status.PLANNING), running), view, POLICY).act == decisions.Start(running)

    def test_what_the_engine_says_is_persisted(self) -> None:
        running = execution(ExecutionState.RUNNING, sub_state=SubState.RUNNING)
        view = following(running.id, SubState.BACKING_OFF, retry_count=2, error="no such image")
        act = reconcile(rows(tenant(Status.PROVISIONING), running), view, POLICY).act
        assert act == decisions.RecordProgress(running, view.reported)  # type: ignore[arg-type]

    def test_the_end_of_the_plan_moves_planning_to_provisioning(self) -> None:
        running = execution(ExecutionState.RUNNING, sub_state=SubState.RUNNING)
        plan = Step(running.id, StepName.PLAN, StepState.SUCCEEDED, 1)
        look = rows(tenant(Status.PLANNING), running, steps=(plan,))
        assert reconcile(look, following(running.id, SubState.RUNNING), POLICY).act == decisions.AdvancePlanned(running)

    @pytest.mark.parametrize(
        ("said", "outcome"),
        [
            (SubState.FAILED, ExecutionState.FAILED),
            (SubState.CANCELLED, ExecutionState.CANCELLED),
        ],
    )
    def test_an_execution_ends_as_its_engine_says(self, said: SubState, outcome: ExecutionState) -> None:
        running = execution(ExecutionState.RUNNING)
        act = reconcile(rows(tenant(Status.PROVISIONING), running), following(running.id, said), POLICY).act
        assert isinstance(act, decisions.Finish)
        assert act.outcome is outcome

    def test_a_success_without_the_switch_is_a_failure(self) -> None:
        """The engine speaks of an earlier life of the same id: the database was restored to an earlier moment."""
        running = execution(ExecutionState.RUNNING)
        said = following(running.id, SubState.SUCCEEDED)
        act = reconcile(rows(tenant(Status.PROVISIONING), running), said, POLICY).act
        assert act == decisions.Finish(running, ExecutionState.FAILED, NO_SWITCH)

    def test_a_delete_succeeds_only_once_no_placement_is_left(self) -> None:
        first, delete = (
            execution(ExecutionState.SUCCEEDED),
            execution(ExecutionState.RUNNING, Action.DELETE, generation=2),
        )
        owner = tenant(Status.DELETING, generation=2, newest_execution=delete.id, deletion_requested_at=NOW)
        said = following(delete.id, SubState.SUCCEEDED)
        left = rows(owner, first, delete, placements=(placement(first),))
        assert reconcile(left, said, POLICY).act == decisions.Finish(delete, ExecutionState.FAILED, NOT_GONE)
        gone = rows(owner, first, delete)
        assert reconcile(gone, said, POLICY).act == decisions.Finish(delete, ExecutionState.SUCCEEDED, "")

    @pytest.mark.parametrize("said", [SubState.FAILED, SubState.CANCELLED, SubState.SUCCEEDED])
    def test_after_the_switch_an_execution_can_only_succeed(self, said: SubState) -> None:
        running = execution(ExecutionState.RUNNING)
        owner = tenant(Status.PROVISIONING, serving_execution=running.id)
        act = reconcile(rows(owner, running), following(running.id, said), POLICY).act
        assert act == decisions.Finish(running, ExecutionState.SUCCEEDED, "")


class TestAfterTheSwitch:
    """The engine is not needed any more."""

    FIRST = execution(ExecutionState.SUCCEEDED)
    UPDATE = execution(ExecutionState.RUNNING, Action.UPDATE, generation=2)
    TENANT = tenant(Status.UPDATING, generation=2, serving_execution=UPDATE.id, newest_execution=UPDATE.id)
    DELETE = execution(ExecutionState.QUEUED, Action.DELETE, generation=3)

    def silent(self, seconds_ago: float) -> OwnerState:
        return OwnerState(followed=self.UPDATE.id, silence=Silence(NOW - seconds(seconds_ago), "it is away"))

    @pytest.mark.parametrize("said", [SubState.ERROR, SubState.FAILED, SubState.CANCELLED, SubState.SUCCEEDED])
    def test_what_an_engine_left_is_removed_before_the_tenant_is_ready(self, said: SubState) -> None:
        left = placement(self.FIRST)
        state = following(self.UPDATE.id, said)
        replaced = rows(self.TENANT, self.FIRST, self.UPDATE, placements=(left, placement(self.UPDATE)))
        assert reconcile(replaced, state, POLICY).act == decisions.Clean((left,))
        gone = rows(self.TENANT, self.FIRST, self.UPDATE, placements=(placement(self.UPDATE),))
        assert reconcile(gone, state, POLICY).act == decisions.Finish(self.UPDATE, ExecutionState.SUCCEEDED, "")

    def test_a_silent_engine_ends_it_after_a_while(self) -> None:
        gone = rows(self.TENANT, self.FIRST, self.UPDATE)
        assert reconcile(gone, self.silent(299), POLICY) == decisions.Decision(None, 1)
        ended = decisions.Finish(self.UPDATE, ExecutionState.SUCCEEDED, "")
        assert reconcile(gone, self.silent(300), POLICY).act == ended

    def test_a_delete_that_waits_behind_a_silent_engine_takes_over(self) -> None:
        owner = replace(self.TENANT, deletion_requested_at=NOW, newest_execution=self.DELETE.id, generation=3)
        waits = rows(owner, self.FIRST, self.UPDATE, self.DELETE, placements=(placement(self.FIRST),))
        ended = decisions.Finish(self.UPDATE, ExecutionState.SUCCEEDED, "")
        assert reconcile(waits, self.silent(300), POLICY).act == ended

    def test_what_is_cancelled_in_the_queue_behind_it_is_ended_at_once(self) -> None:
        cancelled = execution(ExecutionState.QUEUED, Action.UPDATE, generation=3, cancel_requested_at=NOW)
        waits = rows(replace(self.TENANT, generation=3), self.FIRST, self.UPDATE, cancelled)
        act = reconcile(waits, self.silent(1), POLICY).act
        assert act == decisions.Finish(cancelled, ExecutionState.CANCELLED, "cancelled before it started")


class TestOverlap:
    def test_a_healthily_running_execution_is_let_finish(self) -> None:
        running = execution(ExecutionState.RUNNING, sub_state=SubState.RUNNING)
        queued = execution(action=Action.UPDATE, generation=2)
        look = rows(tenant(Status.PROVISIONING, generation=2), running, queued)
        assert reconcile(look, following(running.id, SubState.RUNNING), POLICY).act is None

    def test_one_that_is_backing_off_is_stopped_for_the_newest(self) -> None:
        running = execution(ExecutionState.RUNNING)
        queued = execution(action=Action.UPDATE, generation=2)
        look = rows(tenant(Status.PROVISIONING, generation=2), running, queued)
        act = reconcile(look, following(running.id, SubState.BACKING_OFF), POLICY).act
        assert act == decisions.Stop(running, StopCause.SUPERSEDED, "Configuration updated")

    @pytest.mark.parametrize("sub_state", [SubState.RUNNING, SubState.BACKING_OFF, SubState.WAITING])
    def test_a_delete_supersedes_at_once(self, sub_state: SubState) -> None:
        running = execution(ExecutionState.RUNNING)
        queued = execution(action=Action.DELETE, generation=2)
        look = rows(tenant(Status.DELETING, generation=2, deletion_requested_at=NOW), running, queued)
        act = reconcile(look, following(running.id, sub_state), POLICY).act
        assert act == decisions.Stop(running, StopCause.SUPERSEDED, "Deletion requested")

    def test_a_switched_execution_is_not_stopped_even_by_a_delete(self) -> None:
        running = execution(ExecutionState.RUNNING, sub_state=SubState.RUNNING)
        queued = execution(action=Action.DELETE, generation=2)
        owner = tenant(Status.DELETING, generation=2, serving_execution=running.id, deletion_requested_at=NOW)
        assert reconcile(rows(owner, running, queued), following(running.id, SubState.RUNNING), POLICY).act is None

    def test_a_deadline_stops_and_fails(self) -> None:
        running = execution(ExecutionState.RUNNING)
        look = rows(tenant(Status.PROVISIONING), running, now=NOW + seconds(601))
        act = reconcile(look, following(running.id, SubState.RUNNING), POLICY).act
        assert isinstance(act, decisions.Stop)
        assert act.cause is StopCause.DEADLINE

    def test_a_stopping_execution_ends_when_its_engine_is_done_or_after_30_seconds(self) -> None:
        stopping = execution(
            ExecutionState.STOPPING, stop_cause=StopCause.SUPERSEDED, stop_requested_at=NOW, stop_reason="r"
        )
        ended = decisions.Finish(stopping, ExecutionState.SUPERSEDED, "r")
        look = rows(tenant(Status.DELETING), stopping)
        assert reconcile(look, following(stopping.id, SubState.CANCELLED), POLICY).act == ended
        assert reconcile(look, following(stopping.id, SubState.RUNNING), POLICY) == decisions.Decision(None, 30)
        late = replace(look, now=NOW + seconds(30))
        assert reconcile(late, following(stopping.id, SubState.RUNNING), POLICY).act == ended

    def test_a_cancelled_queued_execution_ends_without_starting(self) -> None:
        queued = execution(cancel_requested_at=NOW)
        act = reconcile(rows(tenant(), queued), OwnerState(), POLICY).act
        assert isinstance(act, decisions.Finish)
        assert act.outcome is ExecutionState.CANCELLED


class TestAnEngineThatIsNotThere:
    """docs/design/executions.md: a delete's engine that is disabled or silent for five minutes is replaced."""

    POLICY = replace(POLICY, fallback="embedded")
    DELETE = execution(
        ExecutionState.STARTING, Action.DELETE, generation=2, engine="restate", error="down", next_attempt_at=NOW
    )
    LOOK = rows(tenant(Status.DELETING, generation=2, deletion_requested_at=NOW), DELETE)

    def test_a_delete_that_cannot_be_started_is_handed_over_after_five_minutes(self) -> None:
        before = replace(self.LOOK, now=NOW + seconds(299))
        assert reconcile(before, OwnerState(), self.POLICY).act == decisions.Start(self.DELETE)
        after = replace(self.LOOK, now=NOW + seconds(300))
        handed_over = decisions.HandOver(self.DELETE, "embedded", "restate is replaced by embedded: down")
        assert reconcile(after, OwnerState(), self.POLICY).act == handed_over

    def test_the_next_look_is_at_the_end_of_the_five_minutes(self) -> None:
        waiting = replace(self.DELETE, next_attempt_at=NOW + seconds(310))
        look = rows(self.LOOK.tenant, waiting, now=NOW + seconds(290))
        assert reconcile(look, OwnerState(), self.POLICY) == decisions.Decision(None, 10)

    def test_a_running_delete_whose_engine_is_silent_is_handed_over(self) -> None:
        running = execution(
            ExecutionState.RUNNING, Action.DELETE, generation=2, engine="restate", sub_state=SubState.RUNNING
        )
        look = rows(self.LOOK.tenant, running, now=NOW + seconds(700))
        silent = replace(following(running.id, SubState.RUNNING), silence=Silence(NOW + seconds(410), "no answer"))
        assert reconcile(look, silent, self.POLICY) == decisions.Decision(None, 10)
        longer = replace(silent, silence=Silence(NOW + seconds(400), "no answer"))
        assert isinstance(reconcile(look, longer, self.POLICY).act, decisions.HandOver)
        assert reconcile(look, replace(longer, silence=None), self.POLICY).act is None

    def test_nothing_else_is_and_the_embedded_engine_itself_is_not(self) -> None:
        late = NOW + seconds(301)
        provision = execution(ExecutionState.STARTING, engine="restate", error="down", next_attempt_at=NOW)
        look = rows(tenant(Status.PLANNING), provision, now=late)
        assert reconcile(look, OwnerState(), self.POLICY).act == decisions.Start(provision)
        embedded = replace(self.DELETE, engine="embedded")
        assert reconcile(rows(self.LOOK.tenant, embedded, now=late), OwnerState(), self.POLICY).act == decisions.Start(
            embedded
        )

    def test_a_deadline_passes_though_the_engine_says_nothing(self) -> None:
        running = execution(ExecutionState.RUNNING, engine="restate")
        unheard = OwnerState(followed=running.id, silence=Silence(NOW, "no answer"))
        look = rows(tenant(Status.PROVISIONING), running, now=NOW + seconds(590))
        assert reconcile(look, unheard, self.POLICY) == decisions.Decision(None, 10)
        late = replace(look, now=NOW + seconds(600))
        assert isinstance(reconcile(late, unheard, self.POLICY).act, decisions.Stop)

    @pytest.mark.parametrize("action", [Action.UPDATE, Action.DELETE])
    def test_what_serves_and_cannot_remove_the_old_one_lets_a_successor_do_it(self, action: Action) -> None:
        running = execution(ExecutionState.RUNNING)
        owner = tenant(Status.UPDATING, generation=2, serving_execution=running.id)
        queued = execution(action=action, generation=2)
        stuck = following(running.id, SubState.BACKING_OFF)
        act = reconcile(rows(owner, running, queued), stuck, POLICY).act
        assert act == decisions.Finish(running, ExecutionState.SUCCEEDED, "")
        busy = following(running.id, SubState.RUNNING)
        assert not isinstance(reconcile(rows(owner, running, queued), busy, POLICY).act, decisions.Finish)
        assert not isinstance(reconcile(rows(owner, running), stuck, POLICY).act, decisions.Finish)

    def test_what_is_cancelled_in_the_queue_stops_nobody(self) -> None:
        running = execution(ExecutionState.RUNNING)
        queued = execution(action=Action.UPDATE, generation=2, cancel_requested_at=NOW)
        stuck = following(running.id, SubState.BACKING_OFF)
        act = reconcile(rows(tenant(Status.UPDATING, generation=2), running, queued), stuck, POLICY).act
        assert not isinstance(act, decisions.Stop)

    def test_what_its_engine_has_lost_is_started_again_at_its_time(self) -> None:
        running = execution(ExecutionState.RUNNING)
        look = rows(tenant(Status.PLANNING), running)
        lost = following(running.id, SubState.UNKNOWN)
        assert reconcile(look, replace(lost, start_due=NOW + seconds(4)), POLICY) == decisions.Decision(None, 4)
        assert reconcile(look, replace(lost, start_due=NOW), POLICY).act == decisions.Start(running)


class TestLeftBehind:
    def test_what_a_failed_execution_left_is_cleaned_before_the_next_starts(self) -> None:
        failed = execution(ExecutionState.FAILED)
        queued = execution(action=Action.PROVISION, generation=2)
        left = placement(failed)
        look = rows(tenant(Status.UPDATING, generation=2), failed, queued, placements=(left,))
        assert reconcile(look, OwnerState(), POLICY).act == decisions.Clean((left,))

    def test_a_clean_up_that_fails_does_not_hold_up_the_next_execution(self) -> None:
        failed = execution(ExecutionState.FAILED)
        queued = execution(action=Action.PROVISION, generation=2)
        look = rows(tenant(Status.UPDATING, generation=2), failed, queued, placements=(placement(failed),))
        assert reconcile(look, OwnerState(clean_due=NOW + seconds(5)), POLICY).act == decisions.Promote(queued)

    def test_what_serves_is_kept_while_a_clean_up_waits(self) -> None:
        owner, first = served()
        failed = execution(ExecutionState.FAILED, Action.UPDATE, generation=2)
        look = rows(owner, first, failed, placements=(placement(failed),))
        waiting = OwnerState(clean_due=NOW + seconds(5), worked_at=NOW - seconds(100))
        assert reconcile(look, waiting, POLICY).act == decisions.Look(first)
        fine = replace(waiting, finding=FINE, finding_due=NOW + seconds(9))
        assert reconcile(look, fine, POLICY) == decisions.Decision(None, 5), "and it does not passivate"
        assert reconcile(look, replace(fine, draining=True), POLICY).act == decisions.Passivate()

    def test_a_delete_walks_the_placements_itself(self) -> None:
        failed = execution(ExecutionState.FAILED)
        queued = execution(action=Action.DELETE, generation=2)
        look = rows(tenant(Status.DELETING, generation=2), failed, queued, placements=(placement(failed),))
        assert reconcile(look, OwnerState(), POLICY).act == decisions.Promote(queued)

    def test_the_serving_placement_is_never_cleaned(self) -> None:
        owner, first = served()
        act = reconcile(
            rows(owner, first, placements=(placement(first),)), OwnerState(finding=FINE, worked_at=NOW), POLICY
        ).act
        assert act == decisions.Look(first)
