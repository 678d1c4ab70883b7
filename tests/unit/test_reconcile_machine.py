"""A state machine over the real `reconcile` and `transitions`: any order of client requests, engine answers, findings
and deaths of owners. The rows are a small in-memory stand-in that does what `persistence.owned_tenant` does.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from controlplane.lifecycle import decisions
from controlplane.lifecycle.conditions import with_condition
from controlplane.lifecycle.owner_state import Finding, OwnerState, Policy, Silence
from controlplane.lifecycle.reconcile import reconcile
from controlplane.lifecycle.transitions import STARTED, TABLE, Cause, move
from controlplane.model import (
    CURRENT,
    Action,
    ConditionType,
    Execution,
    ExecutionState,
    Placement,
    Reason,
    Status,
    Step,
    StepName,
    StepState,
    StopCause,
    SubState,
    TenantRows,
    execution_id,
)
from controlplane.ports import ExecutionStatus
from tests.unit.builders import NOW, TENANT_ID, execution, placement, tenant

POLICY = Policy(idle=60, deadline=600, fallback="embedded")
ENGINE = "restate"
SELDOM = st.sampled_from([False] * 7 + [True])
"""What ends a tenant's life; else few would get old."""

MOVED: set[tuple[Status, Cause]] = set()
"""Entries of the table that were used."""

TURNS = 50
"""So many actions in a row without news from outside would be a loop."""


class Machine(RuleBasedStateMachine):
    """One tenant. `turn` is what an owner does until it waits."""

    @initialize()
    def create(self) -> None:
        first = execution(engine=ENGINE)
        self.tenant = tenant(newest_execution=first.id)
        self.executions: list[Execution] = [first]
        self.placements: list[Placement] = []
        self.view = OwnerState(worked_at=NOW)
        self.now = NOW
        self.left = False
        self.ended: list[str] = []
        self.steps: tuple[Step, ...] = ()

    # --- the world ---

    @precondition(lambda self: self.tenant.deletion_requested_at is None)
    @rule()
    def patch(self) -> None:
        action = Action.UPDATE if self.tenant.observed_generation else Action.PROVISION
        self._new_generation(action, Cause.SPEC_ACCEPTED)

    @precondition(lambda self: self.tenant.deletion_requested_at is None)
    @rule(really=SELDOM)
    def delete(self, really: bool) -> None:
        if not really:
            return
        self._new_generation(Action.DELETE, Cause.DELETE_ACCEPTED)
        self.tenant = replace(self.tenant, deletion_requested_at=self.now)

    @precondition(lambda self: self._may_retry)
    @rule()
    def retry(self) -> None:
        self._run_again(Cause.RETRY_ACCEPTED)

    @precondition(lambda self: self.tenant.deletion_requested_at is None)
    @rule()
    def redeploy(self) -> None:
        self._run_again(Cause.REDEPLOY_ACCEPTED)

    def _run_again(self, cause: Cause) -> None:
        action = Action.UPDATE if self.tenant.observed_generation else Action.PROVISION
        if self._queued is not None:  # a heal of an older generation
            self.ended.append(self._queued.id)
            self._save(self._queued, state=ExecutionState.SUPERSEDED)
        self._add(action, self._next_run(self.tenant.generation))
        self._move(cause)

    @precondition(lambda self: self._unfinished and self.tenant.deletion_requested_at is None)
    @rule()
    def cancel(self) -> None:
        target = (self._active or self._queued) if self._unfinished else None
        assert target is not None
        if self.tenant.serving_execution != target.id:
            self._save(target, cancel_requested_at=self.now)

    @rule(seconds=st.sampled_from([1, 31, 700]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self._active is not None)
    @rule(said=st.sampled_from(SubState), error=st.sampled_from([None, "no"]))
    def the_engine_says(self, said: SubState, error: str | None) -> None:
        assert self._active is not None
        if said is SubState.SUCCEEDED and self._active.action is not Action.DELETE:
            said = SubState.SUCCEEDED if self.tenant.serving_execution == self._active.id else SubState.RUNNING
        status = ExecutionStatus(said, error=error)
        self.view = replace(self.view, followed=self._active.id, reported=status, silence=None)

    @precondition(lambda self: self._active is not None)
    @rule()
    def the_engine_falls_silent(self) -> None:
        assert self._active is not None
        if self._active.state is ExecutionState.STARTING:
            self._save(self._active, error="no answer", next_attempt_at=self.now + timedelta(seconds=30))
        elif self.view.followed == self._active.id:
            self.view = replace(self.view, silence=Silence(self.now, "no answer"))

    @precondition(lambda self: self._active is not None and self._active.action is not Action.DELETE)
    @rule()
    def a_runner_places(self) -> None:
        assert self._active is not None
        if self._active.state in CURRENT and all(p.execution_id != self._active.id for p in self.placements):
            self.placements.append(placement(self._active))

    @precondition(lambda self: self._active is not None and self._active.action is not Action.DELETE)
    @rule()
    def a_runner_switches(self) -> None:
        assert self._active is not None
        placed = any(p.execution_id == self._active.id for p in self.placements)
        if self._active.state in CURRENT and placed:
            self.tenant = replace(self.tenant, serving_execution=self._active.id)

    @precondition(lambda self: self._active is not None and self._active.action is not Action.DELETE)
    @rule()
    def it_is_planned(self) -> None:
        assert self._active is not None
        self.steps = (Step(self._active.id, StepName.PLAN, StepState.SUCCEEDED, attempts=1),)

    @precondition(lambda self: self._unfinished)
    @rule()
    def all_goes_well(self) -> None:
        """From here to the end of what is on: rules that each do a little seldom come so far by chance."""
        self.turn()
        if self._active is not None and self._active.state in CURRENT:
            if self._active.action is not Action.DELETE:
                self.a_runner_places()
                self.a_runner_switches()
            serving = self._active.id if self._active.action is not Action.DELETE else None
            self.placements = [p for p in self.placements if p.execution_id == serving]
            self.the_engine_says(SubState.SUCCEEDED, None)
            self.turn()

    @precondition(lambda self: self._unfinished and self.tenant.deletion_requested_at is None)
    @rule()
    def it_fails(self) -> None:
        self.turn()
        if self._active is not None and self._active.state in CURRENT:
            self.the_engine_says(SubState.FAILED, "no")
            self.turn()

    @precondition(lambda self: self.tenant.status is not Status.DELETED)
    @rule(really=SELDOM)
    def force_delete(self, really: bool) -> None:
        if really:
            for one in (self._queued, self._active):
                if one is not None:
                    self._save(one, state=ExecutionState.CANCELLED)
            self.placements.clear()
            self._move(Cause.DELETE_ACCEPTED)
            self._move(Cause.GONE)
            self.tenant = replace(self.tenant, deletion_requested_at=self.now)
            self._bump()

    @rule(healthy=st.booleans())
    def a_look_is_acted_upon(self, healthy: bool) -> None:
        self.turn()
        self.a_look_finds(True, True, healthy, False)
        self.one_act()

    @rule(
        present=st.booleans(),
        running=st.booleans(),
        healthy=st.sampled_from([True, False, None]),
        stale=st.booleans(),
    )
    def a_look_finds(self, present: bool, running: bool, healthy: bool | None, stale: bool) -> None:
        epoch = self.tenant.epoch - 1 if stale else self.tenant.epoch
        found = Finding(epoch, present, running and present, healthy, "seen")
        self.view = replace(self.view, finding=found, finding_due=self.now + timedelta(seconds=5))

    @rule()
    def the_owner_dies(self) -> None:
        self.view, self.left = OwnerState(worked_at=self.now), False

    # --- the owner ---

    @rule()
    def turn(self) -> None:
        for _ in range(TURNS):
            if self.left:
                return
            decision = reconcile(self._rows(), self.view, POLICY)
            assert decision.look_again is None or decision.look_again >= 0
            if decision.act is None:
                return
            if not self._do(decision.act):
                return
        raise AssertionError(f"the owner does not come to rest: {decision}")

    @rule()
    def one_act(self) -> None:
        """A slow owner: requests overtake it between two decisions."""
        if not self.left:
            act = reconcile(self._rows(), self.view, POLICY).act
            if act is not None:
                self._do(act)

    def _do(self, act: decisions.Act) -> bool:
        """False: the action is a child's, whose answer is a rule of its own."""
        match act:
            case decisions.Leave() | decisions.Passivate():
                self.left = True
            case decisions.Promote(one):
                assert self._active is None, "one active execution"
                self._save(one, state=ExecutionState.STARTING, started_at=self.now, next_attempt_at=None)
                if one.generation == self.tenant.generation:
                    self._move(STARTED[one.action])
                self._bump()
            case decisions.Start(one) | decisions.Follow(one):
                assert not one.state.terminal, "a terminal execution is never started again"
                if one.state is ExecutionState.STARTING:
                    self._save(one, state=ExecutionState.RUNNING)
                status = self.view.reported if self.view.followed == one.id else None
                if status is None or status.sub_state is SubState.UNKNOWN:
                    status = ExecutionStatus(SubState.RUNNING)
                self.view = replace(self.view, followed=one.id, reported=status, silence=None)
            case decisions.AdvancePlanned():
                self._move(Cause.PLANNED)
            case decisions.RecordProgress(one, status):
                self._save(
                    one,
                    sub_state=status.sub_state,
                    retry_count=status.retry_count,
                    error=status.error,
                    next_attempt_at=status.next_attempt_at,
                )
            case decisions.Stop(one, cause, reason):
                assert self.tenant.serving_execution != one.id, "what serves is not stopped"
                self._save(
                    one,
                    state=ExecutionState.STOPPING,
                    stop_cause=cause,
                    stop_reason=reason,
                    stop_requested_at=self.now,
                )
                assert cause in StopCause
            case decisions.Finish(one, outcome, _):
                self._finish(one, outcome)
            case decisions.HandOver(one, engine, _):
                assert one.action is Action.DELETE
                assert one.engine != engine, "it would be handed over for ever"
                self._finish(one, ExecutionState.FAILED, engine)
            case decisions.Clean(placements):
                for one in placements:
                    assert one.execution_id != self.tenant.serving_execution, "what serves is not removed"
                    assert self._find(one.execution_id).state.terminal
                    self.placements.remove(one)
            case decisions.MarkUnhealthy() | decisions.MarkBudgetSpent():
                self._move(Cause.UNHEALTHY)
                said = with_condition(
                    self.tenant.conditions, ConditionType.HEALTHY, "false", Reason.HEAL_BUDGET, self.now
                )
                if isinstance(act, decisions.MarkBudgetSpent):
                    self.tenant = replace(self.tenant, conditions=said)
            case decisions.MarkRecovered():
                self._move(Cause.RECOVERED)
            case decisions.MarkKept():
                self._move(Cause.KEPT)
            case decisions.Heal(serving):
                assert not self._unfinished, "a heal begins when nothing else is on"
                assert serving.id == self.tenant.serving_execution, "what serves is made again, and nothing else"
                self._add(Action.UPDATE, self._next_run(serving.generation), generation=serving.generation)
                self._move(Cause.UNHEALTHY)
            case decisions.Look() | decisions.RestoreServing():
                return False
        return True

    def _finish(self, one: Execution, outcome: ExecutionState, next_engine: str | None = None) -> None:
        assert one.id not in self.ended, "an execution ends once"
        self.ended.append(one.id)
        if self.tenant.serving_execution == one.id:
            assert outcome is ExecutionState.SUCCEEDED, "after the switch it can only succeed"
        self._save(one, state=outcome)
        self._bump()
        self.view = replace(self.view, followed=None, reported=None, silence=None)
        if one.action is Action.DELETE:
            if outcome is ExecutionState.SUCCEEDED:
                assert not self.placements, "deleted means that nothing is recorded any more"
                self._move(Cause.GONE)
            else:
                self._add(Action.DELETE, one.run + 1, next_engine or one.engine)
        elif outcome is ExecutionState.SUCCEEDED:
            assert self.tenant.serving_execution == one.id, "success means that it serves"
            self.tenant = replace(self.tenant, observed_generation=max(self.tenant.observed_generation, one.generation))
            if one.id == self.tenant.newest_execution and self.tenant.deletion_requested_at is None:
                lower = [p for p in self.placements if (p.generation, p.run) < one.order]
                assert not lower, "ready means that what was replaced is gone"
                self._move(Cause.SUCCEEDED)
        elif outcome is not ExecutionState.SUPERSEDED and one.id == self.tenant.newest_execution:
            self._move(Cause.FAILED)

    # --- what holds at any time ---

    @invariant()
    def one_active_and_one_queued(self) -> None:
        states = [one.state for one in self.executions]
        assert sum(state.active for state in states) <= 1
        assert states.count(ExecutionState.QUEUED) <= 1

    @invariant()
    def ready_means_served_at_the_newest_generation(self) -> None:
        if self.tenant.status is Status.READY:
            assert self.tenant.observed_generation == self.tenant.generation
            assert self._find(self.tenant.serving_execution).generation == self.tenant.generation

    @invariant()
    def deleted_means_that_nothing_is_left(self) -> None:
        if self.tenant.status is Status.DELETED:
            assert not self.placements
            assert not self._unfinished

    # --- rows ---

    def _rows(self) -> TenantRows:
        steps = tuple(step for step in self.steps if self._active and step.execution_id == self._active.id)
        return TenantRows(self.tenant, tuple(self.executions), tuple(self.placements), self.now, steps)

    @property
    def _active(self) -> Execution | None:
        return next((one for one in self.executions if one.state.active), None)

    @property
    def _queued(self) -> Execution | None:
        return next((one for one in self.executions if one.state is ExecutionState.QUEUED), None)

    @property
    def _unfinished(self) -> bool:
        return self._active is not None or self._queued is not None

    @property
    def _may_retry(self) -> bool:
        newest = self._find(self.tenant.newest_execution)
        failed = newest.state in (ExecutionState.FAILED, ExecutionState.CANCELLED)
        return failed and self.tenant.status in (Status.FAILED, Status.DEGRADED)

    def _find(self, id: str | None) -> Execution:
        return next(one for one in self.executions if one.id == id)

    def _save(self, one: Execution, **values: object) -> None:
        place = next(number for number, other in enumerate(self.executions) if other.id == one.id)
        self.executions[place] = replace(self.executions[place], **values)  # type: ignore[arg-type]

    def _move(self, cause: Cause) -> None:
        MOVED.add((self.tenant.status, cause))
        self.tenant = replace(self.tenant, status=move(self.tenant.status, cause))

    def _bump(self) -> None:
        self.tenant = replace(self.tenant, epoch=self.tenant.epoch + 1)

    def _next_run(self, generation: int) -> int:
        return max(one.run for one in self.executions if one.generation == generation) + 1

    def _new_generation(self, action: Action, cause: Cause) -> None:
        self.tenant = replace(self.tenant, generation=self.tenant.generation + 1)
        queued = self._queued
        if queued is not None:
            self._save(queued, state=ExecutionState.SUPERSEDED)
            self.ended.append(queued.id)
        self._add(action, 1)
        self._move(cause)

    def _add(self, action: Action, run: int, engine: str = ENGINE, generation: int | None = None) -> None:
        of = self.tenant.generation if generation is None else generation
        id = execution_id("acme", action, of, TENANT_ID, run)
        self.executions.append(execution(action=action, generation=of, run=run, created_at=self.now, engine=engine))
        newest = id if of == self.tenant.generation else self.tenant.newest_execution
        self.tenant = replace(self.tenant, newest_execution=newest, epoch=self.tenant.epoch + 1)


def test_any_order_of_what_can_happen() -> None:
    def machine() -> Machine:
        """A function: of a class, `inspect` parses the whole file, and Python 3.11 may fail in that when the garbage
        collector comes in between (CPython issue 106905)."""
        return Machine()

    run_state_machine_as_test(machine, settings=settings(max_examples=300, stateful_step_count=40, deadline=None))


NEVER = {
    # The first success is what makes an update of the next execution, and then the status is past these.
    (Status.REQUESTED, Cause.UPDATE_STARTED),
    # The intent of a PATCH or a retry has moved the status before its execution starts.
    (Status.READY, Cause.UPDATE_STARTED),
    (Status.FAILED, Cause.UPDATE_STARTED),
}
"""Entries that no order of events comes to; the table is generous there."""


WALKS = (
    "all_goes_well unwell one_act well one_act unwell one_act one_act cancel one_act retry all_goes_well",
    "all_goes_well patch it_fails patch all_goes_well patch patch turn delete",
    "all_goes_well unwell one_act one_act turn all_goes_well",
    "all_goes_well unwell one_act patch",
    # an update that failed: what serves is lost, healed and kept; lost again, and a retry takes over
    "all_goes_well patch it_fails unwell one_act one_act all_goes_well well one_act unwell one_act one_act retry"
    " all_goes_well",
    # a heal that failed, and what serves is well again without it
    "all_goes_well unwell one_act one_act it_fails well one_act",
    "all_goes_well unwell one_act delete",
    "all_goes_well delete all_goes_well",
    # a second first generation, overtaken by an update
    "turn patch all_goes_well patch all_goes_well",
    "turn patch all_goes_well patch it_is_planned one_act all_goes_well",
    "turn it_is_planned one_act patch all_goes_well",
    "turn it_is_planned one_act all_goes_well",
    "turn it_is_planned one_act it_fails delete",
    "turn it_is_planned one_act delete",
    "turn it_fails retry turn",
    "turn delete",
    "patch cancel one_act",
    "delete turn force",
    # a redeploy at each status
    "redeploy all_goes_well redeploy all_goes_well unwell one_act redeploy all_goes_well patch redeploy",
    "turn redeploy",
    "turn it_is_planned one_act redeploy",
    "turn it_fails redeploy",
)
"""A first execution is queued; then rules of the machine, one after the other."""


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.DELETED])
def test_each_entry_of_the_table_but_the_generous_ones_is_come_to(status: Status) -> None:
    """By chance few runs get so far: heals that are cancelled, say."""
    MOVED.clear()
    for walk in WALKS:
        machine = Machine()
        machine.create()
        for name in walk.split():
            match name:
                case "well" | "unwell":
                    machine.a_look_finds(True, True, name == "well", False)
                case "delete":
                    machine.delete(really=True)
                case "force":
                    machine.force_delete(really=True)
                case _:
                    getattr(machine, name)()
            machine.one_active_and_one_queued()
            machine.ready_means_served_at_the_newest_generation()
            machine.deleted_means_that_nothing_is_left()
    here = {entry for entry in TABLE if entry[0] is status}
    assert here - MOVED == here & NEVER
