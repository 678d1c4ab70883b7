"""Slots that tokens share: one that floods waits for one that asks once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controlplane.api.fair_slots import FairSlots
from controlplane.errors import Refused


class Work:
    """Requests at work: each holds its slot until it is told to end."""

    def __init__(self, slots: FairSlots) -> None:
        self._slots = slots
        self.begun: list[str] = []
        self._end: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def ask(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            self._tasks.append(asyncio.create_task(self._run(key)))
        await _settled()

    async def end(self, number: int) -> None:
        self._end[number].set()
        await _settled()

    async def _run(self, key: str) -> None:
        async with self._slots.take(key):
            self.begun.append(key)
            over = asyncio.Event()
            self._end.append(over)
            await over.wait()

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def working(slots: FairSlots) -> AsyncIterator[Work]:
    work = Work(slots)
    yield work
    await work.cancel()
    assert not slots._running
    assert not slots._lines


def slots(patience: float = 60, most: int = 3) -> FairSlots:
    return FairSlots(4, most=most, queue=10, most_queued=8, patience=patience)


async def test_a_slot_is_left_for_another_key() -> None:
    async with working(slots()) as work:
        await work.ask("loud", 10)
        assert work.begun == ["loud"] * 3
        await work.ask("quiet")
        assert work.begun[3:] == ["quiet"]


async def test_a_freed_slot_goes_to_the_key_that_runs_the_fewest() -> None:
    async with working(slots(most=4)) as work:
        await work.ask("loud", 10)
        assert work.begun == ["loud"] * 4
        await work.ask("quiet", 2)
        await work.end(0)
        await work.end(1)
        assert work.begun[4:] == ["quiet", "quiet"]
        await work.end(2)
        assert work.begun[6:] == ["loud"], "two each: the one that has waited longer"


async def test_a_key_does_not_fill_the_queue() -> None:
    async with working(slots()) as work:
        await work.ask("loud", 3 + 8)
        with pytest.raises(Refused):
            async with slots_of(work).take("loud"):
                pass
        await work.ask("quiet", 2)  # one at work, one that waits
        assert work.begun == ["loud"] * 3 + ["quiet"]


async def test_who_waits_too_long_is_refused_and_leaves_no_trace() -> None:
    made = slots(patience=0.01)
    async with working(made) as work:
        await work.ask("loud", 3)
        with pytest.raises(Refused) as refused:
            async with made.take("loud"):
                pass
        assert (refused.value.code, refused.value.status) == ("overloaded", 503)
        assert not made._lines


async def test_a_slot_that_comes_to_one_who_has_gone_is_passed_on() -> None:
    made = slots()
    async with working(made) as work:
        await work.ask("loud", 4)
        waiting = work._tasks[3]
        work._end[0].set()
        for _ in range(10):
            await asyncio.sleep(0)
            if made._running["loud"] == 3 and not made._lines:
                waiting.cancel()  # granted, and not yet resumed or just begun
                break
        await _settled()
        assert made._running["loud"] <= 3
        await work.ask("loud")
        assert made._running["loud"] == 3


def slots_of(work: Work) -> FairSlots:
    return work._slots
