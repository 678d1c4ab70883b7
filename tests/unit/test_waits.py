"""Not there yet is waited for: what counts as an attempt, how long a wait may last, and what the tenant says of it."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from controlplane.clock import SystemClock
from controlplane.errors import NotAvailableYet, Retryable, Throttled, Unavailable, WaitsFor
from controlplane.lifecycle import decisions
from controlplane.lifecycle.conditions import with_condition
from controlplane.lifecycle.owner_state import Policy
from controlplane.lifecycle.reconcile import reconcile
from controlplane.lifecycle.waits import REASONS, says_so
from controlplane.model import (
    Action,
    Condition,
    ConditionType,
    Execution,
    ExecutionState,
    HealthSpec,
    Reason,
    Status,
    Step,
    StepName,
    StepState,
    StopCause,
    SubState,
    TenantRows,
)
from controlplane.steps.attempts import AttemptLog, Outcome, Verdict
from controlplane.steps.backoff import Backoff
from controlplane.steps.probes import Probes
from providers.conformance.workflow_bench import Bench
from tests.unit.builders import NOW, POLICY, SPEC, execution, following, rows, seconds, tenant

LACKS = "image web:1 is not on this machine and cannot be pulled: not found"
MISSING = NotAvailableYet(LACKS, waits_for=WaitsFor.IMAGE_NOT_FOUND)


class TestWhatCounts:
    """Against rows in memory, with the guards of the real ones."""

    async def _all(self, errors: Sequence[Exception], step: StepName = StepName.APPLY_COMPUTE) -> list[Outcome]:
        self.bench = Bench()
        log = AttemptLog(
            self.bench.store, SystemClock(), max_attempts=3, backoff=Backoff(base=0, ceiling=0), random=Random(1)
        )
        left = list(errors)

        async def work(begun: Step) -> Probes:
            if left:
                raise left.pop(0)
            return Probes(again=None)

        outcomes = [await log.run(self.bench.id, step, work)]
        while outcomes[-1].verdict is Verdict.RETRY:
            outcomes.append(await log.run(self.bench.id, step, work))
        return outcomes

    async def _step(self) -> Step:
        return (await self.bench.store.context(self.bench.id)).steps[0]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("error", [Unavailable("away"), Throttled("slowly"), MISSING])
    async def test_a_hundred_waits_are_one_attempt(self, error: Retryable) -> None:
        outcomes = await self._all([error] * 100)
        assert (outcomes[-1].verdict, outcomes[-1].attempts) == (Verdict.DONE, 1)
        step = await self._step()
        assert (step.attempts, step.waits, step.waits_for, step.error) == (1, 100, None, None)
        assert [outcome.retries for outcome in outcomes[:3]] == [1, 2, 3]

    @pytest.mark.asyncio
    async def test_verdicts_between_waits_are_bounded(self) -> None:
        outcomes = await self._all([Retryable("no"), MISSING, MISSING, Retryable("no"), MISSING, Retryable("never")])
        assert (outcomes[-1].verdict, outcomes[-1].message, outcomes[-1].attempts) == (Verdict.FAILED, "never", 3)
        assert len(outcomes) == 6
        assert (await self._step()).waits_for is None

    @pytest.mark.asyncio
    async def test_an_unexpected_error_is_a_verdict(self) -> None:
        outcomes = await self._all([ValueError("x")] * 9)
        assert len(outcomes) == 3
        assert outcomes[-1].verdict is Verdict.FAILED

    def test_pauses_grow_to_a_bound_and_are_never_nothing(self) -> None:
        backoff, random = Backoff(base=0.5, ceiling=30), Random(1)
        pauses = [backoff.patient_pause(attempt, random) for attempt in range(1, 40)]
        assert all(backoff.bound(n) / 2 <= pause <= backoff.bound(n) for n, pause in enumerate(pauses, 1))
        assert max(pauses) > 15


class TestErrors:
    def test_what_an_error_waits_for_survives_pickle(self) -> None:
        for error in (MISSING, Unavailable("away"), Retryable("no")):
            again = pickle.loads(pickle.dumps(error))
            assert (type(again), again.message, again.waits_for) == (type(error), error.message, error.waits_for)
        assert MISSING.waits_for is WaitsFor.IMAGE_NOT_FOUND
        assert Unavailable("away").waits_for is WaitsFor.PLATFORM_UNAVAILABLE
        assert Retryable("no").waits_for is None

    def test_each_kind_of_wait_has_a_reason_of_the_same_name(self) -> None:
        assert {kind.value: reason.value for kind, reason in REASONS.items()} == {kind: kind for kind in WaitsFor}  # type: ignore[attr-defined]


def waits(**values: Any) -> Step:
    given: dict[str, Any] = {"error": LACKS, "waits": 1, "waits_for": "ImageNotFound", "started_at": NOW, **values}
    return Step("x", StepName.APPLY_COMPUTE, StepState.BACKING_OFF, 1, **given)


def said(step: Step) -> tuple[Condition, ...]:
    return with_condition((), ConditionType.WAITING, "true", Reason.IMAGE_NOT_FOUND, NOW, step.error or "")


def look(
    running: Execution, *steps: Step, conditions: tuple[Condition, ...] = (), after: float = 0, **owner: Any
) -> TenantRows:
    owned = tenant(Status.PROVISIONING, conditions=conditions, **owner)
    return rows(owned, running, steps=steps, now=NOW + seconds(after))


def limited(deadline: float) -> Execution:
    spec = SPEC.model_copy(update={"health": HealthSpec(deadline_seconds=deadline)})
    return execution(ExecutionState.RUNNING, spec=spec, error=LACKS, sub_state=SubState.BACKING_OFF)


class TestTheOwner:
    RUNNING = execution(ExecutionState.RUNNING, error=LACKS, sub_state=SubState.BACKING_OFF)
    ENGINE = following(RUNNING.id, SubState.BACKING_OFF, error=LACKS)

    def test_it_says_what_the_tenant_waits_for_once(self) -> None:
        step = waits()
        assert reconcile(look(self.RUNNING, step), self.ENGINE, POLICY).act == decisions.TellWait(self.RUNNING, step)
        assert reconcile(look(self.RUNNING, step, conditions=said(step)), self.ENGINE, POLICY).act is None

    def test_it_goes_on_saying_so_while_it_looks_again(self) -> None:
        step = replace(waits(), state=StepState.RUNNING)
        assert reconcile(look(self.RUNNING, step, conditions=said(step)), self.ENGINE, POLICY).act is None

    @pytest.mark.parametrize(
        "over", [waits(waits_for=None), replace(waits(), state=StepState.SUCCEEDED, error=None, waits_for=None)]
    )
    def test_it_says_so_no_more_once_that_is_over(self, over: Step) -> None:
        seen = look(self.RUNNING, over, conditions=said(waits()))
        assert reconcile(seen, self.ENGINE, POLICY).act == decisions.TellWait(self.RUNNING, None)

    def test_another_reason_is_news_and_so_is_another_text(self) -> None:
        assert not says_so(said(waits()), waits(waits_for="SecretMissing"))
        assert not says_so(said(waits()), waits(error="another image"))
        assert says_so((), None)
        assert says_so(said(waits()), waits())

    def test_a_text_that_is_cut_when_it_is_stored_is_said_once(self) -> None:
        long = waits(error="\x1b[31m" + "x" * 9000)
        stored = with_condition(
            (), ConditionType.WAITING, "true", Reason.IMAGE_NOT_FOUND, NOW, Retryable(long.error or "").message
        )
        assert says_so(stored, long)

    def test_a_word_of_a_newer_release_is_told_as_a_platform_that_is_away(self) -> None:
        step = waits(waits_for="LicenceExpired")
        told = with_condition((), ConditionType.WAITING, "true", Reason.PLATFORM_UNAVAILABLE, NOW, LACKS)
        assert says_so(told, step)

    @pytest.mark.parametrize(("own", "allowed"), [(600, 900), (3, 3), (3600, 3600)])
    def test_a_wait_ends_at_the_tenants_own_deadline_or_the_installations(self, own: float, allowed: float) -> None:
        policy = Policy(idle=60, deadline=900, fallback="embedded")
        running, step = limited(own), waits()
        seen = look(running, step, conditions=said(step), after=allowed - 1)
        decision = reconcile(seen, self.ENGINE, policy)
        assert (decision.act, decision.look_again) == (None, 1)
        over = reconcile(replace(seen, now=NOW + seconds(allowed)), self.ENGINE, policy).act
        assert isinstance(over, decisions.Stop)
        assert over.cause is StopCause.DEADLINE

    def test_it_fails_with_what_it_waited_for(self) -> None:
        running, step = limited(3), waits()
        stop = reconcile(look(running, step, conditions=said(step), after=3), self.ENGINE, POLICY).act
        assert stop == decisions.Stop(running, StopCause.DEADLINE, f"not there after 3 s: {LACKS}")
        stopping = replace(
            running,
            state=ExecutionState.STOPPING,
            stop_cause=StopCause.DEADLINE,
            stop_reason=stop.reason,
            stop_requested_at=NOW,
        )
        ended = reconcile(look(stopping, step), following(running.id, SubState.CANCELLED), POLICY).act
        assert ended == decisions.Finish(stopping, ExecutionState.FAILED, f"not there after 3 s: {LACKS}")

    def test_what_waits_no_more_has_the_time_of_its_execution(self) -> None:
        running = limited(3)
        assert reconcile(look(running, waits(waits_for=None), after=4), self.ENGINE, POLICY).act is None

    def test_a_delete_waits_for_ever(self) -> None:
        running = execution(ExecutionState.RUNNING, Action.DELETE, error=LACKS, sub_state=SubState.BACKING_OFF)
        step = waits()
        seen = look(running, step, conditions=said(step), after=10**6, deletion_requested_at=NOW)
        assert reconcile(seen, following(running.id, SubState.BACKING_OFF, error=LACKS), POLICY).act is None

    def test_after_the_switch_it_waits_for_ever(self) -> None:
        step = waits()
        seen = look(self.RUNNING, step, conditions=said(step), after=10**6, serving_execution=self.RUNNING.id)
        assert reconcile(seen, self.ENGINE, POLICY).act is None

    def test_a_patch_gets_in_while_it_waits_and_so_does_a_delete(self) -> None:
        step = waits()
        for action, why in ((Action.UPDATE, "Configuration updated"), (Action.DELETE, "Deletion requested")):
            queued = execution(action=action, generation=2)
            owner = tenant(Status.PROVISIONING, generation=2, conditions=said(step))
            act = reconcile(rows(owner, self.RUNNING, queued, steps=(step,)), self.ENGINE, POLICY).act
            assert act == decisions.Stop(self.RUNNING, StopCause.SUPERSEDED, why)

    def test_its_owner_gives_its_place_to_others(self) -> None:
        step = waits()
        policy = replace(POLICY, fallback="embedded")
        backing = following(self.RUNNING.id, SubState.BACKING_OFF, error=LACKS, next_attempt_at=NOW + seconds(20))
        running = replace(self.RUNNING, next_attempt_at=NOW + seconds(20))
        seen = look(running, step, conditions=said(step))
        assert reconcile(seen, replace(backing, hurried=True), policy).act == decisions.Passivate(20)
