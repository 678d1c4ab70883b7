"""The choice of a node for a tenant."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from controlplane.lifecycle.placing import choose, obstacle
from controlplane.model import Node, PlacementSpec, TenantSpec
from tests.unit.builders import NOW, SPEC


def node(name: str, **more: Any) -> Node:
    made = Node(
        name=name,
        address=f"10.0.0.{ord(name[0])}",
        head=False,
        alive=True,
        since=NOW,
        labels={},
        platforms={"fake": f"fake-{name}"},
        cpus=2.0,
    )
    return replace(made, **more)


HEAD, B, C = node("a", head=True), node("b", labels={"disk": "ssd"}), node("c", labels={"disk": "ssd", "zone": "1"})
NODES = [HEAD, B, C]


def wanting(**placement: Any) -> TenantSpec:
    return SPEC.model_copy(update={"placement": PlacementSpec(**placement)})


def chosen(nodes: list[Node], spec: TenantSpec = SPEC, engine: str = "embedded", **more: Any) -> str | None:
    return choose(nodes, spec, engine, **{"key": "t", **more})


def test_it_is_the_one_with_the_fewest_tenants_for_its_size() -> None:
    assert chosen(NODES, tenants={"a": 4, "b": 3, "c": 5}) == "b"
    assert chosen([HEAD, replace(B, cpus=1.0), C], tenants={"a": 4, "b": 3, "c": 5}) == "a"
    assert chosen(NODES, tenants={"a": 1, "b": 1}) == "c"


def test_many_at_once_spread_over_equals() -> None:
    counted = Counter(chosen(NODES, key=f"tenant {number}") for number in range(300))
    assert min(counted["a"], counted["b"], counted["c"]) > 60


def test_what_is_bound_to_no_node_runs_anywhere() -> None:
    assert chosen([]) is None
    assert chosen([replace(one, platforms={"docker": "x"}) for one in NODES]) is None


def test_a_node_without_the_platform_is_none_for_it() -> None:
    assert chosen([replace(HEAD, platforms={"process": "p"}), replace(B, platforms={}), C], tenants={"c": 99}) == "c"


def test_it_stays_unless_its_spec_or_the_loss_of_the_node_moves_it() -> None:
    down = replace(B, alive=False)
    assert chosen([HEAD, down, C], stays="b", tenants={"b": 50}) == "b"
    assert chosen(NODES, wanting(node="c"), stays="b") == "c"
    assert chosen(NODES, wanting(labels={"disk": "ssd"}), stays="b", tenants={"b": 50}) == "b"
    assert chosen([HEAD, down, C], stays="b", without={"b"}, tenants={"a": 9}) == "c"
    assert chosen([HEAD, down, C], wanting(node="b"), stays="b", without={"b"}) is None
    assert chosen(NODES, stays="gone", tenants={"a": 1, "b": 0, "c": 1}) == "b"


def test_the_dead_are_not_chosen() -> None:
    assert chosen([replace(HEAD, alive=False), B, replace(C, alive=False)], tenants={"b": 50}) == "b"
    assert chosen([replace(one, alive=False) for one in NODES]) is None


def test_an_engine_whose_steps_run_on_the_head_keeps_its_tenants_there() -> None:
    assert chosen(NODES, engine="restate", tenants={"a": 50}) == "a"
    assert chosen(NODES, engine="restate", stays="b") == "a"


def test_labels_must_all_match() -> None:
    assert chosen(NODES, wanting(labels={"disk": "ssd", "zone": "1"}), tenants={"c": 50}) == "c"
    assert chosen(NODES, wanting(labels={"disk": "hdd"})) is None


@pytest.mark.parametrize(
    ("nodes", "spec", "said", "wrong"),
    [
        (NODES, wanting(node="d"), "there is no node 'd'; the nodes are: a, b (disk=ssd), c (disk=ssd, zone=1)", True),
        (NODES, wanting(labels={"zone": "2"}), "no node has these labels; the nodes are: a, b", True),
        ([], wanting(node="a"), "the supervisor has not said yet which nodes there are", False),
        ([HEAD, replace(B, alive=False)], wanting(node="b"), "b is down; start it again, or choose another of", False),
        ([HEAD, replace(B, platforms={})], wanting(node="b"), "fake does not answer on b, or is not enabled", False),
    ],
)
def test_a_wish_that_no_node_meets_is_explained(nodes: list[Node], spec: TenantSpec, said: str, wrong: bool) -> None:
    found = obstacle(nodes, spec, "embedded")
    assert found is not None
    assert found[0].startswith(said)
    assert found[1] is wrong


def test_an_engine_of_the_head_cannot_take_a_wish_for_another_node() -> None:
    found = obstacle(NODES, wanting(node="b"), "restate")
    assert found is not None
    assert "the steps of restate run on the head, and b is not it" in found[0]
    assert obstacle(NODES, wanting(node="a"), "restate") is None


def test_a_wish_that_can_be_met_and_none_at_all_have_no_obstacle() -> None:
    assert obstacle(NODES, wanting(labels={"disk": "ssd"}), "embedded") is None
    assert obstacle([], SPEC, "embedded") is None


@pytest.mark.parametrize("wrong", [{}, {"node": "a", "labels": {"disk": "ssd"}}, {"labels": {}}, {"zone": "1"}])
def test_a_wish_is_for_a_name_or_for_labels(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PlacementSpec.model_validate(wrong)


def test_a_spec_without_a_wish_has_the_hash_that_it_had() -> None:
    assert "placement" not in SPEC.model_dump(exclude_none=True)
    assert SPEC.hash != wanting(node="a").hash
