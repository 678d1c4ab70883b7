"""Orphans: reported once, removed by policy only."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from actors.supervisor.orphans import Orphans
from controlplane.ports import Origin, Resource, ResourceState


def resource(id: str) -> Resource:
    owner = Origin("us", "acme", uuid4(), 1, 1, f"tenant-acme-provision-1-{id}", "hash")
    return Resource(id, f"landlord-acme-{id}", owner, ResourceState.RUNNING)


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def clock(now: list[float]) -> Callable[[], float]:
    return lambda: now[0]


def test_one_is_new_once_and_stays_by_default(now: list[float], clock: Callable[[], float]) -> None:
    orphans, one = Orphans(None, clock), resource("a")
    assert orphans.seen("docker", [one]) == ([one], [])
    now[0] += 1e9
    assert orphans.seen("docker", [one]) == ([], [])
    assert orphans.ids == ["a"]


def test_with_a_grace_one_is_removed_after_it(now: list[float], clock: Callable[[], float]) -> None:
    orphans, one = Orphans(60, clock), resource("a")
    orphans.seen("docker", [one])
    now[0] += 59
    assert orphans.seen("docker", [one]) == ([], [])
    now[0] += 1
    assert orphans.seen("docker", [one]) == ([], [one])


def test_one_that_went_away_begins_anew(now: list[float], clock: Callable[[], float]) -> None:
    orphans, one = Orphans(60, clock), resource("a")
    orphans.seen("docker", [one])
    orphans.seen("process", [])
    assert orphans.ids == ["a"], "another provider says nothing of it"
    orphans.seen("docker", [])
    now[0] += 60
    assert orphans.seen("docker", [one]) == ([one], [])
