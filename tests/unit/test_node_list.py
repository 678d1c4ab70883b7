"""What Ray says about its nodes, and what becomes of it."""

from typing import Any

import pytest

from actors.nodes import HEAD, of_ray
from actors.supervisor import node_list as module
from actors.supervisor.node_list import live_actors, node_list
from controlplane.local.node import NAME_LABEL

PLATFORMS = {"process": "machine-1", "docker": "engine-1"}
TENANTS = {"host-h": {"docker": 2, "process": 0}}


def row(id: str, address: str, *, alive: bool = True, **more: Any) -> dict[str, Any]:
    """As `ray.nodes()` gives it."""
    labels = {"ray.io/node-id": id}
    base = {"NodeID": id, "Alive": alive, "NodeManagerAddress": address, "NodeName": address, "Labels": labels}
    return {**base, "NodeManagerHostname": f"host-{id}", "Resources": {"CPU": 1.0} if alive else {}, **more}


HEAD_ROW = row("h", "10.0.0.9", Resources={HEAD: 1.0})


def test_nodes_have_the_name_that_they_were_given_or_that_of_their_machine() -> None:
    named = row("b", "10.0.0.2", NodeName="blue", Labels={"ray.io/node-id": "b", "disk": "ssd"})
    labelled = row("c", "10.0.0.3", NodeName="x", Labels={"ray.io/node-id": "c", NAME_LABEL: "green", "disk": "hdd"})
    found = of_ray([named, row("a", "10.0.0.1"), HEAD_ROW, labelled])
    assert [(node.name, node.address, node.head) for node in found] == [
        ("host-h", "10.0.0.9", True),
        ("blue", "10.0.0.2", False),
        ("green", "10.0.0.3", False),
        ("host-a", "10.0.0.1", False),
    ]
    assert [dict(node.labels) for node in found] == [{}, {"disk": "ssd"}, {"disk": "hdd"}, {}]


def test_a_dead_node_is_listed_once_until_it_is_back() -> None:
    died = [row(f"a{n}", "10.0.0.1", alive=False, NodeName="a") for n in range(3)]
    assert [(node.name, node.alive) for node in of_ray([*died, HEAD_ROW])] == [("host-h", True), ("a", False)]
    back = row("a4", "10.0.0.1", NodeName="a")
    assert [(node.id, node.alive) for node in of_ray([*died, HEAD_ROW, back])] == [("h", True), ("a4", True)]


def documents(pinned: bool, actors: dict[str, int], platforms: dict[str, str]) -> list[tuple[Any, ...]]:
    found = of_ray([HEAD_ROW, row("a", "10.0.0.1"), row("b", "10.0.0.2", alive=False)])
    listed = node_list(found, pinned=pinned, actors=actors, ceiling=7, platforms={"host-h": platforms}, tenants=TENANTS)
    return [(one["name"], one["alive"], one["providers"], one["live_actors"], one["ceiling"]) for one in listed]


def test_with_a_platform_of_one_machine_all_is_on_the_head() -> None:
    providers = {
        "docker": {"engine": "engine-1", "tenants": 2},
        "process": {"engine": "machine-1", "tenants": 0},
    }
    assert documents(True, {"h": 3}, PLATFORMS) == [
        ("host-h", True, providers, 3, 7),
        ("host-a", True, {}, 0, 0),
        ("host-b", False, {}, 0, 0),
    ]


def test_else_actors_are_on_each_living_node() -> None:
    assert documents(False, {"h": 1, "a": 2}, {}) == [
        ("host-h", True, {}, 1, 7),
        ("host-a", True, {}, 2, 7),
        ("host-b", False, {}, 0, 0),
    ]


async def test_ray_is_asked_for_actors_only_if_they_may_be_on_several_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"h": 1, "a": 4}
    monkeypatch.setattr(module, "tenants_actors", lambda: asked)
    two = of_ray([HEAD_ROW, row("a", "10.0.0.1")])
    assert await live_actors(two, True, 5) == {"h": 5}
    assert await live_actors(two[:1], False, 5) == {"h": 5}
    assert await live_actors(of_ray([HEAD_ROW, row("a", "10.0.0.1", alive=False)]), False, 5) == {"h": 5}
    assert await live_actors(two, False, 5) == asked
