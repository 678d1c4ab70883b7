"""The pool of workers that stand ready: how many it orders, of which nodes, and when."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from actors.raylet import Workers
from actors.supervisor import pool as module
from actors.supervisor.pool import START_SECONDS, Pool
from actors.supervisor.tasks import Tasks
from controlplane.errors import Unavailable


@dataclass
class Node:
    """A raylet that starts what is ordered only when the test says so."""

    unused: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    orders: list[int] = field(default_factory=list)
    away: bool = False
    closed: bool = False
    ordered: asyncio.Event = field(default_factory=asyncio.Event)
    _made: int = 0

    async def workers(self) -> Workers:
        if self.away:
            raise Unavailable("it does not answer")
        return Workers(frozenset(self.unused | self.taken), frozenset(self.unused))

    async def start(self, number: int, *, keep_seconds: int) -> None:
        self.orders.append(number)
        self.ordered.set()

    async def dismiss(self) -> None:
        if self.away:
            raise Unavailable("it does not answer")
        self.unused.clear()

    async def close(self) -> None:
        self.closed = True

    def come(self, number: int) -> None:
        for _ in range(number):
            self._made += 1
            self.unused.add(f"worker {self._made}")

    def take(self) -> None:
        self.taken.add(self.unused.pop())


@dataclass
class World:
    nodes: dict[str, Node]
    now: float = 1000.0
    draining: bool = False

    def pool(self, wanted: int) -> Pool:
        return Pool(
            wanted,
            Tasks(),
            lambda: list(self.nodes),
            lambda: self.draining,
            connect=lambda at: self.nodes[at],
            clock=lambda: self.now,
        )


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    yield World({"head": Node()})


async def test_what_is_missing_is_ordered_once(world: World) -> None:
    pool, node = world.pool(2), world.nodes["head"]
    assert await pool.fill() == 0
    await pool.fill()
    assert node.orders == [2]
    node.come(2)
    assert await pool.fill() == 2
    node.unused.pop()  # killed
    assert await pool.fill() == 1
    assert node.orders == [2, 1]


async def test_those_that_came_and_were_taken_at_once_are_replaced(world: World) -> None:
    pool, node = world.pool(2), world.nodes["head"]
    await pool.fill()
    node.come(2)
    node.take()
    node.take()
    await pool.fill()
    assert node.orders == [2, 2]


async def test_an_order_that_nobody_came_for_is_given_again_later(world: World) -> None:
    pool, node = world.pool(2), world.nodes["head"]
    await pool.fill()
    world.now += START_SECONDS - 1
    await pool.fill()
    assert node.orders == [2]
    world.now += 1
    await pool.fill()
    assert node.orders == [2, 2]


async def test_one_that_came_and_died_between_two_sweeps_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    pool, node = world.pool(2), world.nodes["head"]
    await pool.fill()
    node.come(2)
    async with asyncio.timeout(30):
        while pool._nodes["head"].expected:  # noqa: ASYNC110, its own timer brings it about
            await asyncio.sleep(0.01)
    node.unused.clear()
    await pool.fill()
    assert node.orders == [2, 2]


async def test_while_the_cluster_drains_none_is_ordered_and_unused_ones_end(world: World) -> None:
    second = world.nodes["second"] = Node()
    pool, node = world.pool(2), world.nodes["head"]
    await pool.fill()
    node.come(2)
    node.take()
    world.draining, second.away = True, True
    assert await pool.fill() == 0
    assert (node.unused, len(node.taken), node.orders) == (set(), 1, [2])
    world.draining, second.away = False, False
    await pool.fill()
    assert (node.orders, second.orders) == ([2, 2], [2, 2])


async def test_each_node_has_its_own_and_one_that_is_away_waits(world: World) -> None:
    second = world.nodes["second"] = Node(away=True)
    pool = world.pool(3)
    await pool.fill()
    assert (world.nodes["head"].orders, second.orders) == ([3], [])
    second.away = False
    await pool.fill()
    assert (world.nodes["head"].orders, second.orders) == ([3], [3])
    del world.nodes["second"]
    await pool.fill()
    assert second.closed


async def test_without_a_pool_no_raylet_is_asked(world: World) -> None:
    world.nodes["head"].away = True  # it would raise
    pool = world.pool(0)
    with pool.activation():
        pass
    assert pool._timer is None
    assert await pool.fill() == 0


async def test_it_is_filled_once_the_last_activation_of_a_burst_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    pool, node = world.pool(2), world.nodes["head"]
    with pool.activation():
        with pool.activation():
            pass
        await asyncio.sleep(0.05)  # an order would be given now
        assert node.orders == []
    async with asyncio.timeout(30):
        await node.ordered.wait()
    assert node.orders == [2]
