"""When wait_healthy looks again: soon at first, rarely later where an engine keeps each look, never past the end."""

import math

import pytest

from controlplane.model import HealthSpec
from controlplane.steps.probes import FIRST_PROBE_SECONDS
from controlplane.steps.run import THINNING, next_look

DAY = 86400.0


def looks(health: HealthSpec, thinning: float) -> tuple[int, float]:
    """How many a start makes that never comes up, in whole seconds as Step Functions counts; the moment of the last."""
    made, waited, pause = 1, 0.0, FIRST_PROBE_SECONDS
    while waited < health.deadline_seconds:
        waited += math.ceil(next_look(pause, health, waited, thinning))
        pause = min(pause * 1.5, health.interval_seconds)
        made += 1
    return made, waited


@pytest.mark.parametrize("interval", [0.1, 1.0, 10.0, 60.0, 3600.0])
def test_a_day_of_looks_is_some_hundreds_and_ends_at_its_deadline(interval: float) -> None:
    made, last = looks(HealthSpec(interval_seconds=interval, deadline_seconds=DAY), THINNING)
    assert made < 500
    assert DAY <= last <= DAY + 1


def test_a_short_start_is_not_thinned_out() -> None:
    health = HealthSpec(interval_seconds=1, deadline_seconds=45)
    assert looks(health, THINNING) == looks(health, 0.0)


def test_without_a_history_to_keep_the_interval_is_kept() -> None:
    assert next_look(60, HealthSpec(interval_seconds=10, deadline_seconds=DAY), DAY / 2, 0.0) == 10
