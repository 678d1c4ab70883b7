"""Who waits until fewer owners live on a machine."""

import asyncio

import pytest

from actors.supervisor import crowd
from actors.supervisor.crowd import Crowd, most


def crowded(*names: str) -> Crowd:
    there = Crowd()
    for name in names:
        there.come(name, "box")
    return there


async def test_each_departure_is_heard_and_no_other_machine_counts() -> None:
    there = crowded("a", "b", "c")
    there.come("elsewhere", "another")
    waits = asyncio.create_task(there.fewer("box", 2))
    for name in ("elsewhere", "a"):
        there.go(name)
        await asyncio.sleep(0)
        assert not waits.done()
    there.go("b")
    async with asyncio.timeout(5):
        await waits
    assert there.on("box") == ["c"]


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "PATIENCE_SECONDS", 0.01)
    there = crowded("a", "b")
    async with asyncio.timeout(5):
        await there.fewer("box", 1)
    assert there.on("box") == ["a", "b"]


async def test_those_who_all_wait_for_something_themselves_are_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "PATIENCE_SECONDS", 0.01)
    there = crowded("a", "b", "c")
    await there.fewer("box", 1)
    monkeypatch.setattr(crowd, "PATIENCE_SECONDS", 60.0)
    async with asyncio.timeout(5):
        await there.fewer("box", 1)
    there.go("a")
    waits = asyncio.create_task(there.fewer("box", 1))
    for name in ("b", "c"):
        await asyncio.sleep(0)
        assert not waits.done(), "one has left, so the others are waited for again"
        there.go(name)
    async with asyncio.timeout(5):
        await waits


def test_a_delete_does_not_wait_for_a_burst() -> None:
    assert most(2, urgent=True) > most(2, urgent=False) >= 2
