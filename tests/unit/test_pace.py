"""How many actors are started at once: by what their machines say, and in which order."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from itertools import accumulate
from pathlib import Path

import pytest

from actors import pressure
from actors.pressure import Reading
from actors.supervisor.pace import APART_SECONDS, Pace
from actors.supervisor.turns import Turns


def readings(*shares: float, machine: str = "box", apart: float = APART_SECONDS) -> Iterator[Reading]:
    """A first one, and one after each of these shares of the time."""
    for number, waited in enumerate(accumulate((0.0, *shares))):
        yield {"machine": machine, "waited": 7.0 + waited * apart, "at": 100.0 + number * apart}


def limit(cores: int, *heard: Reading | None) -> int:
    pace = Pace(lambda _: cores)
    pace.turn("box", urgent=False)
    for reading in heard:
        pace.heard("box", reading)
    return pace.limits["box"]


@pytest.mark.parametrize(
    ("cores", "shares", "expected"),
    [
        (2, [], 4),
        (2, [1.0], 3),
        (2, [1.0] * 9, 2),
        (2, [0.0], 5),
        (2, [0.1] * 9, 8),
        (2, [0.75] * 9, 4),
        (2, [1.0] * 9 + [0.0] * 3, 5),
        (8, [], 16),
        (8, [1.0] * 20, 8),
        (8, [0.0] * 40, 32),
        (1, [1.0] * 9, 2),
    ],
)
def test_fewer_while_work_waits_for_cores_and_more_while_they_are_idle(
    cores: int, shares: list[float], expected: int
) -> None:
    assert limit(cores, *readings(*shares)) == expected


@pytest.mark.parametrize(
    ("shares", "busy"),
    [
        ([], False),
        ([0.8], False),
        ([1.0], True),
        ([1.0, 0.7, 0.7], True),
        ([1.0, 0.5], False),
        ([1.0, 0.5, 0.8], False),
    ],
)
def test_a_machine_is_busy_until_it_is_much_less_so(shares: list[float], busy: bool) -> None:
    pace = Pace(lambda _: 2)
    for reading in readings(*shares):
        pace.heard("box", reading)
    assert pace.busy("box") is busy


def test_without_a_reading_nothing_changes() -> None:
    assert limit(2, None, None) == 4


def test_readings_close_together_are_not_compared() -> None:
    assert limit(2, *readings(*[1.0] * 3, apart=APART_SECONDS / 4)) == 4
    assert limit(2, *readings(*[1.0] * 4, apart=APART_SECONDS / 4)) == 3


def test_a_machine_is_compared_with_itself_alone_since_it_was_started() -> None:
    box, other = readings(1.0, 1.0), readings(0.0, 0.0, machine="other")
    assert limit(2, next(box), next(other)) == 4
    assert limit(2, {"machine": "box", "waited": 1e6, "at": 1e6}, next(box)) == 4
    assert limit(2, {"machine": "box", "waited": 1e6, "at": 1e6}, *readings(1.0)) == 3


def test_each_node_has_its_own_limit() -> None:
    pace = Pace(lambda node: {"small": 1, "large": 16, None: 17}[node])
    for node in ("small", "large", None):
        pace.turn(node, urgent=False)
    for reading in readings(1.0):
        pace.heard("large", reading)
    assert pace.limits == {"small": 4, "large": 31, "any": 34}


def test_a_node_that_has_left_has_none() -> None:
    pace = Pace(lambda _: 2)
    for node in ("stays", "left", None):
        pace.turn(node, urgent=False)
    pace.keep(["stays", "new"])
    assert pace.limits == {"stays": 4, "any": 4}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("some avg10=98.36 avg60=96.17 avg300=93.43 total=16427657282\nfull avg10=0.00 total=0\n", 16427.657282),
        ("", None),
        ("some avg10=1.00", None),
    ],
)
def test_what_the_kernel_says(
    text: str, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_machine = tmp_path / "cpu"
    of_machine.write_text(text)
    monkeypatch.setattr(pressure, "OF_CPU", (tmp_path / "not there", of_machine))
    found = pressure.read()
    assert (found and found["waited"]) == expected


# --- turns ---


class World:
    """Turns that are held until the test ends them."""

    def __init__(self, limit: int) -> None:
        self.turns = Turns(limit)
        self.begun: list[str] = []
        self.waited: dict[str, bool] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._over: dict[str, asyncio.Event] = {}

    async def asks(self, *names: str) -> None:
        for name in names:
            self._over[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._one(name, self.turns.take()))
        await settled()

    async def ends(self, *names: str) -> None:
        for name in names:
            self._over[name].set()
        await settled()

    async def _one(self, name: str, turn: AbstractAsyncContextManager[bool]) -> None:
        async with turn as self.waited[name]:
            self.begun.append(name)
            await self._over[name].wait()


async def settled() -> None:
    """All that can go on has done so: nothing here waits for anything outside of the loop."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_turns_are_taken_in_order() -> None:
    world = World(2)
    await world.asks("a", "b", "c", "d")
    assert world.begun == ["a", "b"]
    await world.ends("b")
    await world.asks("e")
    assert world.begun == ["a", "b", "c"]
    await world.ends("a", "c")
    assert world.begun == ["a", "b", "c", "d", "e"]
    assert world.waited == {"a": False, "b": False, "c": True, "d": True, "e": True}


async def test_a_limit_that_changes_counts_at_once() -> None:
    world = World(1)
    await world.asks("a", "b", "c", "d")
    world.turns.limit = 3
    await settled()
    assert world.begun == ["a", "b", "c"]
    world.turns.limit = 1
    await world.ends("a", "b")
    assert world.begun == ["a", "b", "c"], "one is still under way"
    await world.ends("c")
    assert world.begun == ["a", "b", "c", "d"]


async def test_who_is_cancelled_keeps_no_turn() -> None:
    world = World(1)
    await world.asks("a", "b", "c", "d")
    world.tasks["b"].cancel()  # while it waits
    await settled()
    world._over["a"].set()
    while not world.tasks["a"].done():  # noqa: ASYNC110, the turn is given and not yet taken then
        await asyncio.sleep(0)
    world.tasks["c"].cancel()
    await settled()
    assert [name for name in world.begun if name != "c"] == ["a", "d"]
    world.tasks["d"].cancel()  # while it has one
    await world.asks("e")
    assert world.begun[-1] == "e"
