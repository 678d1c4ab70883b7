"""The verdict on what serves a tenant, from looks in a row."""

from dataclasses import replace
from uuid import uuid4

import pytest

from actors.tenant.health import HealthTracker
from controlplane.lifecycle.owner_state import Finding
from controlplane.model import Execution, ExecutionState, HealthSpec
from controlplane.ports import Origin, ProbeResult, Resource, ResourceState
from tests.unit.builders import SPEC, execution

HEALTH = HealthSpec(healthy_threshold=2, unhealthy_threshold=2, interval_seconds=10, start_period_seconds=30)
SERVES = execution(ExecutionState.SUCCEEDED, spec=SPEC.model_copy(update={"health": HEALTH}))
THERE = Resource("r1", "landlord-acme", Origin("us", "acme", uuid4(), 1, 1, "x", "h"), ResourceState.RUNNING)


def judged(tracker: HealthTracker, *looks: bool | None, of: Execution = SERVES) -> Finding:
    """The finding after the last of these looks."""
    return [tracker.judge(of, 1, THERE, ProbeResult(look)) for look in looks][-1]


@pytest.mark.parametrize("counts", [True, False])
def test_a_look_that_cannot_tell_counts_neither_as_good_nor_as_bad(counts: bool) -> None:
    tracker = HealthTracker()
    assert judged(tracker, counts, None).healthy is None, "it is not the second one"
    assert judged(tracker, counts).healthy is counts, "nor did it end the row"
    assert judged(tracker, None).healthy is counts, "the verdict stays"


def test_what_only_ever_starts_does_not_come_up() -> None:
    tracker = HealthTracker()
    assert judged(tracker, True, True).healthy is True
    within = HEALTH.unhealthy_threshold + int(HEALTH.start_period_seconds / HEALTH.interval_seconds)
    assert judged(tracker, *[None] * within).healthy is True, "it may be starting still"
    assert judged(tracker, None).healthy is None
    assert judged(tracker, None).healthy is False


def test_any_word_of_it_begins_its_patience_anew() -> None:
    tracker = HealthTracker()
    for _ in range(3):
        assert judged(tracker, True, True, *[None] * 5).healthy is True


def test_what_its_platform_brings_back_is_degraded_and_marked_as_such() -> None:
    tracker = HealthTracker()
    lost = ProbeResult(False, "9 of 10 tasks run", recovering=True)
    finding = [tracker.judge(SERVES, 1, THERE, lost) for _ in range(2)][-1]
    assert (finding.healthy, finding.recovering) == (False, True)
    assert judged(tracker, None).recovering, "a look that cannot tell changes nothing"
    down = judged(tracker, False)
    assert (down.healthy, down.recovering) == (False, False), "now it is down, and is to be healed"


def test_what_restarts_in_a_loop_is_no_healthier_than_what_is_down() -> None:
    """Each look finds it running, under whatever restart policy."""
    tracker, health = HealthTracker(), HealthSpec(unhealthy_threshold=2)
    serves = execution(ExecutionState.SUCCEEDED, spec=SPEC.model_copy(update={"health": health}))

    def look(launch: int) -> Finding:
        return tracker.judge(serves, 1, replace(THERE, launch=str(launch)), ProbeResult(True))

    assert [look(launch).healthy for launch in (1, 2, 2, 3, 4)] == [True] * 5, "somebody restarted it, and again"
    assert look(5).healthy is None
    down = look(6)
    assert (down.healthy, down.detail) == (False, "landlord-acme restarts in a loop")
    assert look(6).healthy is True


def test_another_execution_starts_from_nothing() -> None:
    tracker = HealthTracker()
    assert judged(tracker, False, False).healthy is False
    after = execution(ExecutionState.SUCCEEDED, run=2, spec=SERVES.spec)
    assert judged(tracker, False, of=after).healthy is None
