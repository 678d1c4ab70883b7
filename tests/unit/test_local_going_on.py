"""Whether `landlord up` starts a dead head again as the same cluster, or another cluster."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from controlplane.errors import Unavailable
from controlplane.local import head, installation
from controlplane.local.application import Application
from controlplane.local.head import RayNode
from controlplane.local.head_store import HeadStore
from controlplane.local.installation import Installation
from controlplane.local.state import RunState
from controlplane.settings import Settings


class World:
    """A machine without Ray, a database that knows clusters, and a Redis that holds those that were started."""

    def __init__(self, patch: pytest.MonkeyPatch, home: Path) -> None:
        self.settings = Settings(
            home=home,
            node_address="10.0.0.1",
            node_tls=False,
            database_url=SecretStr("postgresql://db/landlord"),
            compute_providers=("fake",),
            ray_redis=SecretStr("redis://h:6379"),
        )
        self.said: list[str] = []
        self.held: set[str] = set()
        self.ended: set[str] = set()
        self.announced: list[bool] = []
        self.started: list[dict[str, str]] = []
        self.failures = 0
        self.away = False
        self.alive = False
        self._ids = (f"cluster-{number}" for number in itertools.count(1))
        for module in (installation, head):  # there are none, and looking for them takes long on a busy machine
            patch.setattr(module, "end_processes", lambda *_: 0)
        patch.setattr(installation, "resolve", lambda *_: "fake")
        patch.setattr(RayNode, "trouble", lambda _: None if self.alive else "gcs_server does not run")
        patch.setattr(RayNode, "start", lambda _, environment, __: self._start(environment))
        patch.setattr(Application, "deploy", lambda *_, **__: None)
        patch.setattr(Application, "await_ready", lambda *_: None)
        patch.setattr(HeadStore, "holds", lambda _, cluster_id, __: self._holds(cluster_id))
        patch.setattr(HeadStore, "forget", lambda _, cluster_id, __: self.held.discard(cluster_id))

    def up(self) -> str:
        return Installation(self.settings, {}, self.said.append).up(self).state.cluster_id

    def down(self) -> None:
        Installation(self.settings, {}, self.said.append).down()

    def _holds(self, cluster_id: str) -> bool:
        if self.away:
            raise Unavailable("the Redis does not serve")
        return cluster_id in self.held

    def _start(self, environment: dict[str, str]) -> None:
        self.started.append(environment)
        if self.failures:
            self.failures -= 1
            raise Unavailable("Ray did not start")
        self.alive = True
        self.held.add(environment["RAY_external_storage_namespace"].removeprefix("landlord-"))

    # --- the database ---

    def register(self, *_: Any, before: str | None, **__: Any) -> str:
        self.ended |= {before} if before else set()
        return next(self._ids)

    def announce(self, *_: Any, stored: bool, **__: Any) -> None:
        self.announced.append(stored)

    def has_ended(self, _: str, cluster_id: str) -> bool:
        return cluster_id in self.ended

    def migrate(self, *_: Any, **__: Any) -> None:
        pass

    def admit(self, *_: Any, **__: Any) -> None:
        pass


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    world = World(monkeypatch, tmp_path)
    assert world.up() == "cluster-1"
    return world


def test_a_dead_head_whose_cluster_is_kept_is_started_again(world: World) -> None:
    before = RunState.read(world.settings.home / "state.json")
    world.alive = False
    assert world.up() == "cluster-1"
    assert RunState.read(world.settings.home / "state.json") == before
    assert "starting the head again: gcs_server does not run" in world.said
    assert world.started[0] == world.started[1]
    assert world.announced == [True, True]
    assert world.up() == "cluster-1"
    assert len(world.started) == 2, "what runs is let be"


def test_on_a_busy_machine_it_is_tried_again_before_the_cluster_is_given_up(world: World) -> None:
    world.alive, world.failures = False, 2
    assert world.up() == "cluster-1"
    assert world.said.count("trying again: Ray did not start") == 2


def lost(world: World) -> None:
    world.held.clear()


def taken_over(world: World) -> None:
    world.ended.add("cluster-1")


def changed(world: World) -> None:
    world.settings = world.settings.model_copy(update={"ray_redis": SecretStr("redis://other:6379")})


def broken(world: World) -> None:
    world.failures = 3


@pytest.mark.parametrize("why", [lost, taken_over, changed, broken])
def test_another_cluster_begins_where_it_cannot_go_on(world: World, why: Callable[[World], None]) -> None:
    why(world)
    world.alive = False
    assert world.up() == "cluster-2"
    assert world.ended == {"cluster-1"}
    assert world.held == {"cluster-2"}, "the ended one is forgotten"


def test_while_the_redis_is_away_no_cluster_is_ended(world: World) -> None:
    world.away, world.alive = True, False
    with pytest.raises(Unavailable, match="the Redis does not serve"):
        world.up()
    assert world.ended == set()
    world.away = False
    assert world.up() == "cluster-1"


def test_what_was_stopped_is_forgotten(world: World) -> None:
    world.down()
    assert world.held == set()


def test_without_a_redis_another_cluster_begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World(monkeypatch, tmp_path)
    world.settings = world.settings.model_copy(update={"ray_redis": None})
    monkeypatch.setattr(RayNode, "start", lambda *_: None)
    assert [world.up(), world.up()] == ["cluster-1", "cluster-2"]
    assert world.announced == [False, False]
    assert "starting anew: gcs_server does not run" in world.said
