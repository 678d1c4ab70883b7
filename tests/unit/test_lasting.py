"""Ready means lasting: when a new resource has been well for long enough, and when it is given up."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import ValidationError

from controlplane.model import HealthSpec, TenantSpec
from controlplane.ports import Origin, ProbeResult, Resource, ResourceState
from controlplane.steps.probes import CRASH_LOOP_SECONDS, Probes

THERE = Resource(
    "r1", "landlord-acme", Origin("us", "acme", uuid4(), 1, 1, "x", "h"), ResourceState.RUNNING, launch="1"
)
RESTARTED = replace(THERE, launch="2")
START = datetime(2026, 1, 1, tzinfo=UTC)
WELL = ProbeResult(True)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def left(health: HealthSpec, *looks: tuple[float, Resource, bool | None]) -> float | None:
    """After these probes: (second, resource, healthy)."""
    probes = Probes(attempt=1)
    for second, resource, healthy in looks:
        probes = Probes.kept(probes.to_keep()).counted(resource, ProbeResult(healthy), at(second))
    second, resource, _ = looks[-1]
    return probes.left(health, resource, at(second))


@pytest.mark.parametrize(
    ("health", "checked", "seconds"),
    [
        ({}, False, 10),
        ({"http": {}}, False, 0),
        ({"tcp": {}}, False, 0),
        ({"exec": {"command": ["true"]}}, False, 0),
        ({}, True, 0),
        ({"min_healthy_seconds": 3}, True, 3),
        ({"http": {}, "min_healthy_seconds": 3}, False, 3),
        ({"min_healthy_seconds": 0}, False, 0),
        ({"deadline_seconds": 4}, False, 2),
    ],
)
def test_ten_seconds_without_a_probe_and_none_with_one(health: dict[str, object], checked: bool, seconds: int) -> None:
    assert HealthSpec.model_validate(health).lasting(checked=checked) == seconds


def test_one_good_probe_is_not_enough_and_the_time_counts_from_it() -> None:
    health = HealthSpec()
    assert left(health, (0, THERE, True)) == 10
    assert left(health, (0, THERE, True), (4, THERE, True)) == 6
    assert left(health, (0, THERE, True), (10, THERE, True)) == 0
    assert left(HealthSpec(min_healthy_seconds=0), (0, THERE, True)) == 0


@pytest.mark.parametrize(
    "between",
    [
        pytest.param([(5, THERE, False)], id="a bad probe"),
        pytest.param([(5, THERE, None)], id="it starts again"),
        pytest.param([(5, RESTARTED, True)], id="restarted between two good probes"),
    ],
)
def test_a_break_starts_the_count_again(between: list[tuple[float, Resource, bool | None]]) -> None:
    after = between[0][1]
    assert left(HealthSpec(), (0, THERE, True), *between, (11, after, True)) != 0
    assert left(HealthSpec(), (0, THERE, True), *between, (11, after, True), (21, after, True)) == 0


def test_thresholds_still_count_and_start_again_with_a_restart() -> None:
    health = HealthSpec.model_validate({"http": {}, "healthy_threshold": 2})
    assert left(health, (0, THERE, True)) is None
    assert left(health, (0, THERE, True), (1, THERE, True)) == 0
    assert left(health, (0, THERE, True), (1, RESTARTED, True)) is None


def test_a_crash_loop_is_given_up_and_a_slow_start_is_not() -> None:
    probes = Probes(attempt=1)
    for number in range(5):
        probes = probes.counted(replace(THERE, launch=str(number)), WELL, at(number))
    assert probes.restarts == 4
    assert probes.loops(HealthSpec(), THERE, CRASH_LOOP_SECONDS + 1)
    assert not probes.loops(HealthSpec(), THERE, CRASH_LOOP_SECONDS - 1), "it may wait for its database"
    assert not probes.loops(HealthSpec(start_period_seconds=60), THERE, CRASH_LOOP_SECONDS + 1)
    assert not probes.loops(HealthSpec.model_validate({"http": {}}), THERE, CRASH_LOOP_SECONDS + 1), "its probe decides"


def test_a_platform_that_tells_no_launch_is_believed() -> None:
    silent = replace(THERE, launch="")
    assert left(HealthSpec(), (0, silent, True), (10, silent, True)) == 0


def test_an_engine_keeps_what_earlier_and_later_releases_can_read() -> None:
    before = {"attempt": 1, "good": 0, "bad": 2, "pause": 0.1, "failing": None, "again": 1.0}
    assert Probes.kept(before).to_keep() == before, "an earlier release reads no other member"
    assert Probes.kept({**before, "of a later release": 1}).to_keep() == before


def test_no_hash_moves_and_what_can_never_be_is_refused() -> None:
    spec = {"compute": {"provider": "docker", "config": {}}, "health": {}}
    given = {**spec, "health": {"min_healthy_seconds": None}}
    assert TenantSpec.model_validate(given).hash == TenantSpec.model_validate(spec).hash
    with pytest.raises(ValidationError, match="must be less than deadline_seconds"):
        HealthSpec(min_healthy_seconds=60, deadline_seconds=60)
